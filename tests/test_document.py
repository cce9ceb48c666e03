"""fastwsgi/settings/document.py: docs/settings.md is what the declarations say."""

from pathlib import Path

from fastwsgi.settings import declared
from fastwsgi.settings.document import document

ROOT = Path(__file__).parent.parent


def test_the_documentation_is_up_to_date() -> None:
    assert (ROOT / "docs/settings.md").read_text() == document()


def test_it_names_every_setting_flag_and_lack_of_effect() -> None:
    text = document()
    for setting in declared().values():
        assert text.count(f"\n### `{setting.name}`\n") == 1
        assert all(f"`{flag}" in text for flag in setting.flags)
        assert setting.no_effect in text
        assert f"\n## {setting.section}\n" in text
