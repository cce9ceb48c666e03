-- wrk: every request carries a token of its own, and its answer is compared with it.
-- One connection a thread, so that answers come in the order of the requests.

local threads = {}

function setup(thread)
   thread:set("id", #threads)
   table.insert(threads, thread)
end

function init(args)
   most = tonumber(args[1])
   sent, last, right, wrong = 0, 0, 0, 0
   expected = {}
   kinds = { "length", "stream", "body" }
end

function request()
   sent = sent + 1
   local token = id .. "-" .. sent
   local kind = kinds[sent % 3 + 1]
   local body = kind == "body" and string.rep(token, sent % 200) or ""
   expected[sent] = token .. ":" .. body .. "\n"
   return wrk.format(kind == "body" and "POST" or "GET", "/" .. kind .. "/" .. token, nil, body)
end

function response(status, headers, body)
   -- wrk makes the first request of one thread twice, and sends the second
   if last == 0 and expected[1] ~= body then
      last = 1
   end
   last = last + 1
   if status == 200 and body == expected[last] then
      right = right + 1
   else
      wrong = wrong + 1
   end
   expected[last] = nil
   if right + wrong >= most then
      wrk.thread:stop()
   end
end

function done(summary, latency, requests)
   local right, wrong = 0, 0
   for _, thread in ipairs(threads) do
      right = right + thread:get("right")
      wrong = wrong + thread:get("wrong")
   end
   local errors = summary.errors
   io.write(string.format("right %d wrong %d errors %d\n", right, wrong,
      errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
