// The list of tests, and what it is filtered by.

const PAGE = 100;
const STATES = {
  "": "any",
  found: "with findings",
  new: "new findings",
  accepted: "accepted findings",
  error: "errors",
  warn: "warnings",
  clean: "nothing found",
  failed: "failed, not judged",
};
const NOTHING = { rules: [], file: "", state: "", text: "", place: "" };
let filter = { ...NOTHING };
let listed = rows;
let focused = 0;

function fits(finding) {
  if (filter.rules.length && !filter.rules.includes(finding.rule)) return false;
  if (filter.file && fileOf(finding) !== filter.file) return false;
  if (filter.place && !(frameOf(finding) && placeOf(frameOf(finding)) === filter.place))
    return false;
  if (filter.state === "new" || filter.state === "accepted") return finding.state === filter.state;
  if (filter.state === "error" || filter.state === "warn") return finding.severity === filter.state;
  return true;
}

function isListed(row) {
  if (
    filter.text &&
    !filter.text
      .toLowerCase()
      .split(/\s+/)
      .every((word) => row.text.includes(word))
  )
    return false;
  if (filter.state === "clean") return !row.findings.length && row.isJudged;
  if (filter.state === "failed") return !row.isJudged;
  const asks = filter.rules.length || filter.file || filter.state || filter.place;
  return !asks || row.findings.some(fits);
}

function makeRowLink(row) {
  return make("a", { href: addressOf(row) }, mark(row.name));
}

function makeRow(row, number) {
  const sums = ["leases", "sessions", "statements"]
    .filter((kind) => row[`all_${kind}`])
    .map((kind) => count(row[`all_${kind}`], NOUNS[kind]));
  const length = row.begin !== null && row.end !== null ? showTime(row.end - row.begin) : "";
  const codes = new Map();
  for (const finding of row.findings) {
    const key = `${markOf(finding)} ${finding.rule}`;
    codes.set(key, (codes.get(key) || 0) + 1);
  }
  const link = make(
    "a",
    {
      class: "row",
      href: addressOf(row),
      tabindex: number === 0 ? "0" : "-1",
      "data-number": number,
    },
    make(
      "span",
      {},
      make("span", { class: "name" }, mark(row.name)),
      row.attempt ? make("span", { class: "muted" }, ` run ${row.attempt}`) : null,
      row.isJudged ? null : make("span", { class: "muted" }, " failed, not judged"),
      make(
        "span",
        { class: "codes" },
        [...codes].map(([key, times]) => {
          const [kind, code] = key.split(" ");
          const words = `${code}${times > 1 ? ` \u00d7${times}` : ""}`;
          return make(
            "span",
            {},
            makeMark(kind),
            ` ${words}`,
            make("span", { class: "unseen" }, ` ${kind}`),
          );
        }),
      ),
      make(
        "span",
        { class: "path" },
        make("br"),
        row.kind === "fixture"
          ? `${row.scope}-scoped, ${row.path || "the whole run"}${timeline.processes.length > 1 && row.process ? `, process ${row.process}` : ""}`
          : row.path,
      ),
    ),
    make("span", { class: "sums" }, [...sums, length].filter(Boolean).join(" \u00b7 ")),
  );
  return make("li", {}, link);
}

function showTests(size = PAGE) {
  listed = rows.filter(isListed);
  const list = byId("test-list");
  list.replaceChildren(...listed.slice(0, size).map(makeRow));
  focused = 0;
  const nothing = rows.length
    ? "No test matches the filter."
    : isRecorded
      ? "No test took a connection, opened a session or has a finding."
      : "There is no finding, and this run was not recorded.";
  list.hidden = !listed.length;
  const more = byId("more");
  more.className = listed.length ? "more" : "empty";
  const portion = Math.min(5 * PAGE, listed.length - size);
  const button = make(
    "button",
    { type: "button", onclick: () => showMore(size, size + 5 * PAGE) },
    `Show ${portion} more`,
  );
  more.replaceChildren(listed.length ? (portion > 0 ? button : "") : nothing);
  const shown = Math.min(size, listed.length);
  const part = shown < listed.length ? `, the first ${shown.toLocaleString("en")} shown` : "";
  const all =
    listed.length === rows.length
      ? ""
      : `${listed.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")}: `;
  const quiet = timeline.quiet
    ? ` ${count(timeline.quiet, "test")} opened nothing and ${timeline.quiet === 1 ? "is" : "are"} not listed.`
    : "";
  byId("count").replaceChildren(
    rows.length ? `${all}${tellKinds(listed)}${part}.${quiet}` : quiet.trim(),
  );
  byId("filter").hidden = !rows.length;
}

function tellKinds(list) {
  const sum = (kind) => list.filter((row) => row.kind === kind).length;
  const parts = [
    ["test", "test"],
    ["fixture", "fixture"],
  ].map(([kind, noun]) => (sum(kind) ? count(sum(kind), noun) : ""));
  if (sum("import")) parts.push("code outside the tests");
  return parts.filter(Boolean).join(" and ") || "nothing";
}

function showMore(from, size) {
  showTests(size);
  focusRow(from);
}

function focusRow(number) {
  const links = byId("test-list").querySelectorAll("a.row");
  const link = links[Math.max(0, Math.min(links.length - 1, number))];
  if (!link) return;
  if (links[focused]) links[focused].tabIndex = -1;
  focused = Number(link.dataset.number);
  link.tabIndex = 0;
  link.focus();
}

function onListKey(event) {
  const move = {
    ArrowDown: focused + 1,
    ArrowUp: focused - 1,
    Home: 0,
    End: Infinity,
    PageDown: focused + 10,
    PageUp: focused - 10,
  }[event.key];
  if (move === undefined || !event.target.closest("a.row")) return;
  event.preventDefault();
  focusRow(move);
}

function setFilter(change) {
  filter = { ...filter, ...change };
  byId("by-text").value = filter.text;
  byId("by-rule").value =
    filter.rules.length === 1 ? filter.rules[0] : filter.rules.length ? "several" : "";
  byId("by-file").value = filter.file;
  byId("by-state").value = filter.state;
  for (const chip of byId("rules").children)
    chip.setAttribute("aria-pressed", String(filter.rules.includes(chip.dataset.rule)));
  showPlaces((finding) => (filter.rules.length ? filter.rules.includes(finding.rule) : true));
  showTests();
  writeAddress();
}

function makeOptions(select, options) {
  select.replaceChildren(
    ...options.map(([value, text]) => make("option", { value, hidden: value === "several" }, text)),
  );
}

function prepareFilter() {
  const names = new Map(report.findings.map((finding) => [finding.rule, finding.name]));
  const rules = [...names].sort((a, b) => a[0].localeCompare(b[0]));
  makeOptions(byId("by-rule"), [
    ["", "any"],
    ["several", "several"],
    ...rules.map(([code, name]) => [code, `${code} ${name}`]),
  ]);
  const files = [...new Set(report.findings.map(fileOf))].filter(Boolean).sort();
  makeOptions(byId("by-file"), [["", "any"], ...files.map((file) => [file, file])]);
  makeOptions(byId("by-state"), Object.entries(STATES));
  byId("rules").append(...rules.map(([code, name]) => makeChip(code, name)));
  let waiting = 0;
  byId("by-text").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => setFilter({ text: event.target.value.trim() }), 120);
  });
  byId("by-rule").addEventListener("change", (event) =>
    setFilter({ rules: event.target.value ? [event.target.value] : [], place: "" }),
  );
  byId("by-file").addEventListener("change", (event) =>
    setFilter({ file: event.target.value, place: "" }),
  );
  byId("by-state").addEventListener("change", (event) =>
    setFilter({ state: event.target.value, place: "" }),
  );
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("filter").addEventListener("reset", (event) => {
    event.preventDefault();
    setFilter(NOTHING);
  });
  byId("test-list").addEventListener("keydown", onListKey);
  byId("test-list").addEventListener("focusin", (event) => {
    const link = event.target.closest("a.row");
    if (link) focused = Number(link.dataset.number);
  });
}

function makeChip(code, name) {
  const found = report.findings.filter((finding) => finding.rule === code);
  const worst = found.slice().sort((a, b) => rankOf(a) - rankOf(b))[0];
  const chip = make(
    "button",
    { type: "button", class: "chip", "aria-pressed": "false", "data-rule": code },
    makeMark(markOf(worst)),
    make("b", {}, found.length.toLocaleString("en")),
    ` ${code} ${name}`,
  );
  chip.addEventListener("click", () => {
    const rules = filter.rules.includes(code)
      ? filter.rules.filter((rule) => rule !== code)
      : [...filter.rules, code];
    setFilter({ rules, place: "" });
  });
  return chip;
}
