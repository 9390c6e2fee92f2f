"""Print the page of all settings from where they are declared."""

from __future__ import annotations

from coordinator import config as coordinator_config
from node import config as node_config

HEAD = """# Settings

Each setting is declared once, in `coordinator/config.py` or `node/config.py`. The first source that names
it wins: flag, environment, `autoresearch.toml` in the working directory, `config.toml` in the user's
configuration folder, default. In the files they stand under `[coordinator]` or `[node]` by their name.
Secrets come from files, never from a flag.
"""

COLUMNS = "| Setting | Flag | Environment | Default | What it does |\n|---|---|---|---|---|"


def main() -> None:
    """Both tables."""
    print(HEAD)
    for title, settings in (
        ("Coordinator", coordinator_config.SETTINGS),
        ("Node", node_config.SETTINGS),
    ):
        print(
            f"## {title}\n\n| Setting | Flag | Environment | Default | What it does |\n|---|---|---|---|---|"
        )
        for setting in settings:
            flag = f"`{setting.flag}`" if setting.flag else ""
            default = f"`{setting.default}`" if setting.default else ""
            print(f"| `{setting.name}` | {flag} | `{setting.environment}` | {default} | {setting.help} |")
        print()


if __name__ == "__main__":
    main()
