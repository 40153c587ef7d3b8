// The lines to mend: findings of one rule at one place together.

const SHOWN_PLACES = 8;

function groupPlaces(chosen) {
  const groups = new Map();
  for (const row of rows) {
    for (const finding of row.findings) {
      if (!chosen(finding)) continue;
      const frame = frameOf(finding);
      const key = `${rankOf(finding)} ${finding.rule} ${frame ? placeOf(frame) : ""}`;
      if (!groups.has(key))
        groups.set(key, { finding, frame, rows: new Set(), rank: rankOf(finding) });
      groups.get(key).rows.add(row);
    }
  }
  return [...groups.values()].sort(
    (a, b) =>
      a.rank - b.rank || b.rows.size - a.rows.size || a.finding.rule.localeCompare(b.finding.rule),
  );
}

function showPlaces(chosen) {
  const groups = groupPlaces(chosen);
  byId("places").hidden = !report.findings.length;
  const box = byId("places-list");
  const show = (number) => {
    const lines = groups
      .slice(0, number)
      .map(({ finding, frame, rows: found }) => [
        make(
          "span",
          { class: "code-cell" },
          makeMark(markOf(finding)),
          ` ${finding.rule} `,
          make(
            "span",
            { class: "muted" },
            finding.state === "accepted" ? "accepted" : finding.severity,
          ),
        ),
        frame
          ? makeFrame(frame)
          : make("span", { class: "muted" }, "a place without a frame of yours"),
        make(
          "span",
          {},
          mark(finding.title),
          found.size > 1
            ? make("span", { class: "muted" }, `, and ${found.size - 1} more like it`)
            : "",
        ),
        make(
          "button",
          { type: "button", class: "plain", onclick: () => showOnly(finding) },
          tellKinds([...found]),
        ),
      ]);
    box.replaceChildren(
      makeTable(
        "Places with findings, errors first",
        ["Rule", "Place", "What happened there", "Tests "],
        lines,
        "stack",
        true,
      ),
    );
    if (groups.length > number) {
      box.append(
        make(
          "div",
          { class: "more" },
          make(
            "button",
            { type: "button", onclick: () => show(number + 50) },
            `Show ${Math.min(50, groups.length - number)} more of ${count(groups.length, "place")}`,
          ),
        ),
      );
    }
    if (!groups.length)
      box.replaceChildren(make("p", { class: "empty" }, "No finding matches the filter."));
  };
  show(SHOWN_PLACES);
}

function showOnly(finding) {
  const frame = frameOf(finding);
  setFilter({
    rules: [finding.rule],
    file: frame ? frame[0] : "",
    place: frame ? placeOf(frame) : "",
    state: "",
    text: "",
  });
  byId("tests").scrollIntoView();
  byId("tests").focus({ preventScroll: true });
}
