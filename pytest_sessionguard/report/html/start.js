// The verdict, the address, and the first drawing.

function filterParts() {
  const parts = {};
  if (filter.rules.length) parts.rule = filter.rules.join(",");
  for (const name of ["file", "state", "text", "place"])
    if (filter[name]) parts[name] = wellFormed(filter[name]);
  return parts;
}

function writeAddress() {
  const test = new URLSearchParams(location.hash.slice(1)).get("test");
  const parts = new URLSearchParams({ ...filterParts(), ...(test ? { test } : {}) }).toString();
  if (parts !== location.hash.slice(1))
    history.replaceState(null, "", parts ? `#${parts}` : location.pathname + location.search);
}

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const row = rowBySlug.get(parts.get("test"));
  const dialog = byId("story");
  if (row) showStory(row);
  else if (dialog.open) dialog.close();
}

function readFilter() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const known = (select, value) =>
    [...byId(select).options].some((option) => option.value === value) ? value : "";
  setFilter({
    rules: (parts.get("rule") || "")
      .split(",")
      .filter((code) => report.findings.some((finding) => finding.rule === code)),
    file: known("by-file", parts.get("file") || ""),
    state: known("by-state", parts.get("state") || ""),
    text: parts.get("text") || "",
    place: parts.get("place") || "",
  });
}

function showVerdict() {
  const findings = report.findings;
  const fresh = findings.filter((finding) => finding.state !== "accepted");
  const tests = rows.filter((row) => row.findings.length && row.kind === "test").length;
  const fixtures = rows.filter((row) => row.findings.length && row.kind === "fixture").length;
  const title = byId("verdict-title");
  const text = byId("verdict-text");
  const sum = (list, test) => list.filter(test).length;
  if (!report.tally.engines && !findings.length) {
    title.replaceChildren("No engine was seen");
    text.append(
      `${count(report.tally.tests, "test")} ran and no connection was taken, so nothing could be found. This says nothing about the health of the code.`,
    );
    title.classList.add("is-warn");
  } else if (!findings.length) {
    title.replaceChildren(`Nothing found in ${count(report.tally.tests, "test")}`);
    text.append("Every connection came back and every session was closed in its time.");
  } else {
    const where =
      [tests ? count(tests, "test") : "", fixtures ? count(fixtures, "fixture") : ""]
        .filter(Boolean)
        .join(" and ") || "code outside the tests";
    title.replaceChildren(`${count(findings.length, "finding")} in ${where}`);
    const parts = [
      [sum(fresh, (finding) => finding.severity === "error"), "error"],
      [sum(fresh, (finding) => finding.severity === "warn"), "warning"],
    ]
      .map(([number, noun]) => (number ? count(number, noun) : ""))
      .filter(Boolean);
    const accepted = findings.length - fresh.length;
    text.append(
      [
        parts.length ? parts.join(" and ") : "Nothing new",
        accepted ? `${accepted} accepted by the baseline` : "",
      ]
        .filter(Boolean)
        .join(", "),
      ".",
    );
  }
  showNotes();
  showLeftovers();
  showGlance();
}

function showNotes() {
  const note = (text, kind = "") =>
    byId("notes").append(make("p", { class: `note ${kind}` }, text));
  if (report.fault)
    note(
      `sessionguard stood down after a fault of its own, and judged nothing since: ${report.fault}`,
      "error",
    );
  if (report.run && report.run.interrupted)
    note("The run was interrupted: what came after is not here.");
  const failed = rows.filter((row) => !row.isJudged && row.kind === "test").length;
  if (failed)
    note(`${count(failed, "test")} failed and ${failed === 1 ? "was" : "were"} not judged.`);
}

// What is no longer needed: suppressions that suppress nothing, entries of the baseline that are gone.
function showLeftovers() {
  const unused = report.unused || [];
  const gone = report.gone || [];
  if (!unused.length && !gone.length) return;
  const parts = [
    unused.length ? `${count(unused.length, "suppression")} to drop` : "",
    gone.length ? `${gone.length.toLocaleString("en")} of the baseline to drop` : "",
  ];
  const lines = [
    ...unused.map((one) => one.text),
    ...gone.map((one) => [one.rule, one.path, one.function, one.thing].filter(Boolean).join(" ")),
  ];
  byId("notes").append(
    make(
      "details",
      {},
      make("summary", {}, parts.filter(Boolean).join(", "), ": nothing was found for them"),
      make(
        "ul",
        {},
        lines.map((line) => make("li", {}, line)),
      ),
    ),
  );
}

function showGlance() {
  const glance = (name, value, kind) =>
    byId("glance").append(
      make("div", {}, make("dt", {}, name), make("dd", { class: kind || null }, value)),
    );
  glance("tests judged", report.tally.tests.toLocaleString("en"));
  glance(
    "engines seen",
    report.tally.engines.toLocaleString("en"),
    report.tally.engines ? "" : "is-warn",
  );
  glance("sessions seen", report.tally.sessions.toLocaleString("en"));
  const engine = tightest();
  if (engine) {
    const { kind } = judgeEngine(engine);
    glance(
      `out of the fullest pool, ${engine.engine}`,
      `${engine.peak} of ${engine.limit}`,
      kind === "muted" ? "" : kind,
    );
  }
}

function showRun() {
  const run = report.run || {};
  const started = run.started ? new Date(run.started) : null;
  const when =
    started && !Number.isNaN(started.getTime())
      ? started.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })
      : "";
  byId("run").append(
    [when, run.seconds ? `ran ${showTime(run.seconds * 1000)}` : ""].filter(Boolean).join(", "),
  );
  const versions = [
    ["Python", run.python],
    ["SQLAlchemy", run.sqlalchemy],
    ["pytest", run.pytest],
  ].filter(([, version]) => version);
  byId("foot").append(
    `${report.tool.name} ${report.tool.version}`,
    versions.length ? ` on ${versions.map((pair) => pair.join(" ")).join(", ")}` : "",
    timeline.processes.length > 1 ? `; ${timeline.processes.length} processes` : "",
    ". Times are those of a recorded run, whose statements cost more than usual.",
  );
}

const THEMES = ["auto", "light", "dark"];
function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").replaceChildren(`Theme: ${theme}`);
  try {
    localStorage.setItem("sessionguard-theme", theme);
  } catch {
    // A page from the file system may have no storage.
  }
}
function prepareTheme() {
  let theme = "auto";
  try {
    theme = localStorage.getItem("sessionguard-theme") || theme;
  } catch {
    // The same.
  }
  setTheme(THEMES.includes(theme) ? theme : "auto");
  byId("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "auto";
    setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
  });
}

function prepareStory() {
  const dialog = byId("story");
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    closeStory();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && closeStory());
  window.addEventListener("hashchange", readAddress);
  window.addEventListener("popstate", readAddress);
}

prepareTheme();
showRun();
showVerdict();
prepareFilter();
prepareStory();
readFilter();
showEngines();
readAddress();
document.documentElement.dataset.ready = "";
