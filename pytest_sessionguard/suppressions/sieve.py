"""The sieve: findings go in, and those come out that no comment and no path suppresses."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pytest_sessionguard.model import Finding, Frame
from pytest_sessionguard.suppressions.comments import Comment, Source, read_source
from pytest_sessionguard.suppressions.paths import fits
from pytest_sessionguard.suppressions.record import Kind, Record, Suppression


class Sieve:
    """What suppresses findings by their place.

    Source files are read for findings only, or when a whole run is over.

    Args:
        root: The folder to which paths in findings are relative.
        patterns: The paths whose findings are meant.
        source: Where these patterns come from.
        record: What becomes known here.
        off: Rules that are off in the whole run: a comment for one may be needed all the same.
    """

    def __init__(
        self,
        root: str,
        patterns: Iterable[str],
        source: str,
        record: Record,
        off: frozenset[str] = frozenset(),
    ) -> None:
        self._root = root
        self._patterns = {one: Suppression(Kind.PATH, one, source) for one in patterns}
        self._record = record
        self._off = off
        self._sources: dict[str, Source] = {}

    @property
    def paths(self) -> list[Suppression]:
        """Return what suppresses by its path."""
        return list(self._patterns.values())

    def sift(self, findings: list[Finding]) -> list[Finding]:
        """Keep what is to be told.

        Args:
            findings: What was found.

        Returns:
            Those that nothing suppresses; what suppressed the others is entered as used.
        """
        kept = []
        for finding in findings:
            found = self.find(finding)
            self._record.used.update(found)
            if not found:
                kept.append(finding)
        return kept

    def find(self, finding: Finding) -> list[Suppression]:
        """Find what suppresses a finding.

        A path counts where the innermost frame of the place lies there which the finding is about,
        so that a factory is told from the test that calls it. A comment counts at the innermost
        frame of every place, since a thing is opened at one line and taken at another.

        Args:
            finding: The finding. What a test itself asked for, nothing suppresses.

        Returns:
            The suppressions.
        """
        if finding.facts.get("asserted"):
            return []
        frames = finding.site.frames
        found = [
            one
            for pattern, one in self._patterns.items()
            if frames and fits(pattern, frames[0].path)
        ]
        lines = dict.fromkeys(p.site.frames[0] for p in finding.places if p.site.frames)
        for frame in lines:
            found += self._find_comments(frame, finding.rule)
        return found

    def scan(self, files: Iterable[str]) -> None:
        """Enter every comment of some files as known.

        Args:
            files: Files that the run has imported.
        """
        prefix = self._root.rstrip(os.sep) + os.sep
        for file in files:
            normal = file.replace("\\", "/")
            if file.startswith(prefix) and not {"site-packages", "dist-packages"} & set(
                normal.split("/")
            ):
                path = normal[len(prefix) :]
                for comment in self._read(file).comments:
                    self._enter(path, comment)

    def _find_comments(self, frame: Frame, rule: str) -> list[Suppression]:
        source = self._read(os.path.join(self._root, frame.path))
        for comment in source.comments:
            if comment.problem:
                self._enter(frame.path, comment)
        return [self._enter(frame.path, one) for one in source.find(frame.line, rule)]

    def _read(self, path: str) -> Source:
        if path not in self._sources:
            self._sources[path] = read_source(path)
        return self._sources[path]

    def _enter(self, path: str, comment: Comment) -> Suppression:
        where = f"{path}:{comment.line}"
        if comment.problem:
            self._record.malformed[where] = comment.problem
        suppression = Suppression(Kind.COMMENT, comment.what, where)
        if not comment.problem and not comment.rules & self._off:
            self._record.known.add(suppression)
        return suppression
