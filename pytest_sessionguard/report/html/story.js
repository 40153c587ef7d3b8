// What one test did: its findings, and its sessions, connections and statements on a time axis.

const FATES = {
  out: "never returned",
  collected: "left to the garbage collector",
  returned: "returned",
  detached: "detached",
  invalidated: "invalidated",
  open: "never closed",
  dropped: "dropped without close()",
  closed: "closed",
};
const KEPT = { leases: 200, sessions: 200, statements: 200, loads: 100 };
const NOUNS = { leases: "connection", sessions: "session", statements: "statement", loads: "load" };

function addressOf(row) {
  return `#${new URLSearchParams({ test: row.slug })}`;
}

function openRow(row) {
  location.hash = new URLSearchParams({ ...filterParts(), test: row.slug }).toString();
}

function closeStory() {
  history.pushState(null, "", `#${new URLSearchParams(filterParts())}`);
  byId("story").close();
}

function showStory(row) {
  const dialog = byId("story");
  const at = listed.indexOf(row);
  const go = (by) => listed[at + by] && openRow(listed[at + by]);
  const step = (by, text) =>
    make(
      "button",
      {
        type: "button",
        class: "quiet",
        disabled: at < 0 || !listed[at + by],
        onclick: () => go(by),
      },
      text,
    );
  const close = make("button", { type: "button", class: "quiet", onclick: closeStory }, "Close");
  dialog.replaceChildren(
    make(
      "div",
      { class: "bar" },
      make(
        "span",
        { class: "where" },
        at < 0 ? "" : `${at + 1} of ${listed.length.toLocaleString("en")}`,
      ),
      step(-1, "Previous"),
      step(1, "Next"),
      close,
    ),
    make(
      "article",
      { class: "tale" },
      makeHead(row),
      row.findings.length
        ? make("section", { "aria-label": "Findings" }, row.findings.map(makeFinding))
        : null,
      row.stories.length ? makeTale(row) : makeNoTale(),
    ),
  );
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  close.focus();
}

function makeNoTale() {
  const why = isRecorded
    ? "Nothing it opened was recorded."
    : "This run was not recorded, so there is no time axis.";
  return make("p", { class: "empty" }, why);
}

function makeHead(row) {
  const length = row.begin !== null && row.end !== null ? showTime(row.end - row.begin) : "";
  const facts = [
    row.kind === "fixture" ? `${row.scope}-scoped fixture` : "",
    length,
    timeline.processes.length > 1 && row.process ? `process ${row.process}` : "",
    row.attempt ? `run ${row.attempt}` : "",
    row.isJudged ? "" : "it failed, so it was not judged",
  ].filter(Boolean);
  return make(
    "header",
    {},
    make("h2", { id: "story-title" }, mark(row.name)),
    make(
      "p",
      { class: "path" },
      row.path ? makeCopy(row.kind === "test" ? row.title : row.path) : "",
      facts.length ? ` \u00b7 ${facts.join(" \u00b7 ")}` : "",
    ),
  );
}

function makeFinding(finding) {
  const kind = finding.state === "accepted" ? "accepted" : finding.severity;
  const places = finding.places.flatMap((place) => {
    const [head, ...rest] = place.frames;
    const [before, after] = place.text.includes("{}") ? place.text.split("{}") : [place.text, ""];
    const shown = head
      ? [before, makeFrame(head), after]
      : [before, "a place without a frame of yours", after];
    return [
      make("dt", {}, place.label),
      make(
        "dd",
        {},
        shown,
        rest.map((frame) => make("div", { class: "muted" }, "from ", makeFrame(frame))),
      ),
    ];
  });
  const accept = finding.text.split("\n").find((line) => line.trim().startsWith("Accept: "));
  const way = accept
    ? accept
        .trim()
        .slice("Accept: ".length)
        .replace(/ or the baseline\.$/, "")
    : "";
  return make(
    "article",
    { class: `finding ${kind}` },
    make(
      "p",
      { class: "kind" },
      makeMark(kind),
      ` ${finding.rule} ${finding.name} \u00b7 ${finding.severity}${finding.state === "accepted" ? ", accepted by the baseline" : ""}`,
    ),
    make("h3", {}, mark(finding.title)),
    make("dl", {}, places),
    make("p", {}, mark(finding.consequence)),
    make("p", { class: "fix" }, make("strong", {}, "Fix: "), mark(finding.fix)),
    way && finding.state !== "accepted"
      ? make("p", { class: "accept" }, "Or accept it: ", makeCopy(way))
      : null,
  );
}

function makeTale(row) {
  const lanes = makeLanes(row);
  const events = [
    ...row.statements.map((statement) => ({ at: statement.begin, statement })),
    ...row.loads.map((load) => ({ at: load.at, load })),
  ].sort((a, b) => a.at - b.at);
  const left = ["leases", "sessions", "statements", "loads"].filter(
    (kind) => row[`all_${kind}`] > row[kind].length,
  );
  const notes = left.map((kind) =>
    make(
      "p",
      { class: "note" },
      `${count(row[`all_${kind}`] - row[kind].length, NOUNS[kind])} more ${row[kind].length >= KEPT[kind] ? `than the ${KEPT[kind]} that are kept of a test` : "came when the report was full"}.`,
    ),
  );
  const section = make("section", { "aria-label": "What happened when" });
  section.append(...notes);
  if (lanes.length || events.length)
    section.append(
      make("h3", {}, "What happened when"),
      makeTaleChart(row, lanes.slice(0, SHOWN_LANES), events, lanes.length),
    );
  section.append(...makeTaleTables(row, lanes));
  return section;
}

function makeTaleTables(row, lanes) {
  const since = (at) => (at === null ? "before" : showTime(at - row.begin));
  const lasted = (thing) =>
    thing.end === null || thing.begin === null ? "" : showTime(thing.end - thing.begin);
  const tables = [];
  const engines = new Set(
    lanes.filter((lane) => lane.lease).map((lane) => timeline.engines[lane.lease.engine].engine),
  );
  const things = lanes.map((lane) => {
    const thing = lane.session || lane.lease;
    const engine = lane.lease ? timeline.engines[thing.engine].engine : "";
    const bad = ["out", "collected"].includes(thing.fate)
      ? "is-error"
      : ["open", "dropped"].includes(thing.fate)
        ? "is-warn"
        : null;
    const closed =
      lane.session && thing.fate === "closed" && thing.closed_at !== null
        ? [" at ", makeSite(thing.closed_at)]
        : "";
    const again =
      lane.session && thing.again
        ? [
            make("br"),
            make("span", { class: "is-error" }, "began again at "),
            makeSite(thing.again.site),
          ]
        : "";
    const what = make(
      "span",
      {},
      lane.depth ? make("span", { class: "muted", "aria-hidden": "true" }, "\u2514 ") : "",
      mark(lane.name),
    );
    return [
      what,
      ...(engines.size > 1 ? [make("span", { class: "code-cell" }, engine)] : []),
      makeSite(thing.site),
      since(thing.begin),
      lasted(thing),
      make("span", {}, make("span", { class: bad }, FATES[thing.fate]), closed, again),
    ];
  });
  if (things.length)
    tables.push(
      make("h3", {}, "Sessions and connections"),
      makePagedTable(
        `Each session with the connections that it took${engines.size === 1 ? `, of ${[...engines][0]}` : ""}`,
        ["What", ...(engines.size > 1 ? ["Engine"] : []), "Opened at", "After ", "Lasted ", "End"],
        things,
      ),
    );
  if (row.statements.length) {
    const lines = row.statements.map((statement) => [
      since(statement.begin),
      statement.took === null ? "did not return" : showTime(statement.took),
      make("code", {}, timeline.sql[statement.sql] || ""),
    ]);
    tables.push(
      make("h3", {}, "Statements"),
      makePagedTable(
        "Every ? stands for a value that was taken out",
        ["After ", "Took ", "SQL"],
        lines,
      ),
    );
  }
  if (row.loads.length) {
    const lines = row.loads.map((load) => [since(load.at), load.attribute, makeSite(load.site)]);
    tables.push(
      make("h3", {}, "Lazy loads"),
      makePagedTable(
        "Attributes that loaded themselves when they were read",
        ["After ", "Attribute", "Read at"],
        lines,
      ),
    );
  }
  return tables;
}
