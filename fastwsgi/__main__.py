"""`python -m fastwsgi` is the command `fastwsgi`."""

from fastwsgi.cli import main

if __name__ == "__main__":
    main()
