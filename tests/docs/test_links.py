"""Links between pages lead somewhere."""

from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_to_a_file_and_a_heading(path: Path):
    broken = []
    for link in page(path).links:
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in page(target).anchors):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme_or_the_first_page():
    found, waiting = set(), [ROOT / "README.md", DOCS / "getting-started.md"]
    while waiting:
        path = waiting.pop()
        if path in found or path.suffix != ".md" or not path.exists():
            continue
        found.add(path)
        waiting += [(path.parent / link.partition("#")[0]).resolve() for link in page(path).links if "://" not in link]
    lost = [str(path.relative_to(ROOT)) for path in PAGES if path not in found and "decisions" not in path.parts]
    assert lost == []


def test_every_invariant_names_its_tests_or_says_that_its_part_does_not_exist_yet():
    invariants = [part for part in page(DOCS / "invariants.md").sections if part.title[:1].isdigit()]
    assert [part.title.split(".")[0] for part in invariants] == [str(number) for number in range(1, 10)]
    for part in invariants:
        text = "\n".join(part.lines)
        assert "../tests/" in text or "*Not applicable yet*: there is" in text, part.title
