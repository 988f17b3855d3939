"""Copies the pages of the documentation to a directory, as MkDocs wants them.

The pages link to each other and to files of the repository. Links between pages stay; links to other files become links to the
repository, whose address is in Cargo.toml. A link to a file that does not exist ends the program.
"""

import pathlib
import re
import shutil
import sys
import tomllib

PAGES = {
    "Start": ["README.md", "CHANGELOG.md"],
    "Operate": ["docs/operate.md", "docs/monitoring.md", "agent/README.md", "docs/agent-settings.md", "docs/compatibility.md"],
    "Embed": ["docs/embed.md", "docs/serf-api.md"],
    "Simulate": ["docs/simulate.md", "docs/simulator.md", "docs/experiments.md"],
    "Evidence": ["docs/performance.md", "docs/limits.md", "SECURITY.md"],
    "Contribute": ["CONTRIBUTING.md", "docs/architecture.md", "docs/releasing.md", "CODE_OF_CONDUCT.md"],
}
LINK = re.compile(r"(!?)\[([^\]\n]*)\]\(([^)\s]+)\)")


def main(out: pathlib.Path) -> None:
    root = pathlib.Path.cwd()
    repository = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]["repository"]
    # A page that is not in the list goes to the end of the first group that has pages of its directory.
    listed = [page for pages in PAGES.values() for page in pages]
    rest = sorted(str(page.relative_to(root)) for page in root.glob("docs/*.md") if str(page.relative_to(root)) not in listed)
    groups = {title: [page for page in pages if (root / page).exists()] for title, pages in PAGES.items()}
    if rest:
        groups["More"] = rest
    pages = [page for group in groups.values() for page in group]
    broken = []

    shutil.rmtree(out, ignore_errors=True)
    for page in pages:
        source = root / page

        def relink(match: re.Match[str]) -> str:
            image, text, target = match.groups()
            path, _, anchor = target.partition("#")
            if not path or re.match(r"[a-z]+:", target):
                return match[0]
            file = (source.parent / path).resolve()
            if not file.exists() or not file.is_relative_to(root):
                broken.append(f"{page}: {target}")
                return match[0]
            file = file.relative_to(root)
            if str(file) in pages:
                return match[0]
            if image or file.suffix in (".svg", ".png"):
                copy = out / "pages" / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / file, copy)
                return match[0]
            return f"[{text}]({repository}/blob/main/{file}{'#' + anchor if anchor else ''})"

        copy = out / "pages" / page
        copy.parent.mkdir(parents=True, exist_ok=True)
        # Code blocks may have text that looks like a link.
        # MkDocs knows languages, but not rustdoc's `rust,no_run`.
        text = re.sub(r"^```rust,[a-z_,]+$", "```rust", source.read_text(), flags=re.MULTILINE)
        parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
        copy.write_text("".join(part if part.startswith("```") else LINK.sub(relink, part) for part in parts))
    if broken:
        sys.exit("links to nothing:\n" + "\n".join(broken))

    lines = [
        "site_name: Serf in Rust",
        f"repo_url: {repository}",
        "docs_dir: pages",
        # Pages open from a directory, too.
        "use_directory_urls: false",
        "theme: {name: readthedocs, navigation_depth: 3}",
        "plugins: [search]",
        "validation: {links: {not_found: warn, anchors: warn, unrecognized_links: warn, absolute_links: warn}}",
        "nav:",
    ]
    for title, group in groups.items():
        lines.append(f"  - {title}:")
        lines += [f"      - {page}" for page in group]
    (out / "mkdocs.yml").write_text("\n".join(lines) + "\n")


main(pathlib.Path(sys.argv[1]).resolve())
