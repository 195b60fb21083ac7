"""Runbooks are typed by people who are half asleep: every command in them exists, with its options, and every link leads somewhere.

`findings(root)` yields what is wrong in docs (but for the pages of design and of errors), SECURITY.md and README.md. Other tools' commands are not known here.
"""

import re


def findings(root):
    cli = (root / "docs/cli.md").read_text()
    # What belongs to each command: the text from its heading to the next.
    parts = re.split(r"^#{2,3} dizzy-keys ?(.*)$", cli, flags=re.MULTILINE)
    commands = dict(zip(parts[1::2], parts[2::2]))
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    others = [page for page in sorted((root / "docs").glob("*.md")) if page.name != "cli.md"]
    for page in [*sorted((root / "docs/runbooks").glob("*.md")), *others, root / "SECURITY.md", root / "README.md"]:
        text = page.read_text()
        name = page.relative_to(root)
        for words in _commands(text):
            verb = next((v for v in (" ".join(words[:3]), " ".join(words[:2]), words[0]) if v in commands), None)
            # `audit` and `audit key` are only the beginning of one.
            if verb is None or any(other.startswith(verb + " ") for other in commands):
                yield f"{name}: there is no command `dizzy-keys {' '.join(words[:3])}`"
                continue
            for option in (word.partition("=")[0] for word in words if word.startswith("--")):
                if not re.search(rf"^\s+(?:-\w, )?{option}(?![\w-])", commands[verb] + commands[""], re.MULTILINE):
                    yield f"{name}: `dizzy-keys {verb}` has no option {option}"
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE):
            if target not in targets:
                yield f"{name}: there is no target `make {target}`"
        for code in set(re.findall(r"\bDK-\d{3}\b", text)):
            if not (root / f"docs/errors/{code}.md").is_file():
                yield f"{name}: {code} has no page"
        for link in re.findall(r"\]\(([^)]+)\)", text):
            yield from _link(page, name, link)


def _commands(text):
    """The words behind `dizzy-keys`: of lines of blocks, and of code within a line. Prose begins lines with the name, too."""
    for number, part in enumerate(text.split("```")):
        of_block = r"^(?:\$ )?dizzy-keys (?:--config \S+ )?([a-z][^\n#|>]*)"
        found = re.findall(of_block, part, re.MULTILINE) if number % 2 else re.findall(r"`dizzy-keys (?:--config \S+ )?([a-z][^`\n#]*)", part)
        yield from (words.split() for words in found)


def _link(page, name, link):
    if "://" in link:
        return
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        yield f"{name}: {link} leads nowhere"
    elif anchor:
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        if anchor not in slugs:
            yield f"{name}: {link}: there is no such heading"
