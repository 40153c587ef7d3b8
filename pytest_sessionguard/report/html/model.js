"use strict";

// The document of the run, and what the page makes of it. Nothing here touches the page.

const report = JSON.parse(document.getElementById("document").textContent);
const timeline = report.timeline || {
  processes: [],
  engines: [],
  tests: [],
  sites: [],
  sql: [],
  quiet: 0,
};
const isRecorded = Boolean(report.timeline);
const SEVERITIES = ["error", "warn"];

const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

function showTime(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms >= 60000) return `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
  return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
}

const siteOf = (number) => (number === null || number === undefined ? [] : timeline.sites[number]);
const placeOf = (frame) => `${frame[0]}:${frame[1]}`;
const frameOf = (finding) => finding.places.flatMap((place) => place.frames)[0] || null;
const fileOf = (finding) => (frameOf(finding) ? frameOf(finding)[0] : "");

// "new" findings that are errors come first, then warnings; what is accepted comes last.
function rankOf(finding) {
  return finding.state === "accepted" ? 2 : SEVERITIES.indexOf(finding.severity);
}
const markOf = (finding) => (finding.state === "accepted" ? "accepted" : finding.severity);

// A fixture that goes with its test is told in the test's row: what a test opens, its fixtures
// mostly open for it.
function homeOf(owner) {
  const isTest =
    owner.kind === "test" ||
    (owner.kind === "fixture" && owner.scope === "function" && owner.nodeid);
  if (isTest) return { key: `test ${owner.nodeid}`, kind: "test", title: owner.nodeid };
  const title = owner.kind === "fixture" ? `${owner.nodeid}::${owner.name}` : owner.name;
  return {
    key: `${owner.kind} ${title}`,
    kind: owner.kind,
    title,
    name: owner.name,
    scope: owner.scope,
  };
}

function splitNode(home) {
  if (home.kind !== "test")
    return { name: home.name, path: home.title.slice(0, -home.name.length - 2) };
  // A parameter may hold colons of its own.
  const bracket = home.title.indexOf("[");
  const cut = home.title.lastIndexOf("::", bracket < 0 ? Infinity : bracket);
  return cut < 0
    ? { name: home.title, path: "" }
    : { name: home.title.slice(cut + 2), path: home.title.slice(0, cut) };
}

function makeRows() {
  const rows = [];
  const latest = new Map();
  // Each process sets up a wide fixture of its own.
  const ofProcess = new Map();
  const add = (home, process) => {
    const row = {
      ...home,
      ...splitNode(home),
      stories: [],
      findings: [],
      begin: null,
      end: null,
      isJudged: true,
    };
    rows.push(row);
    latest.set(home.key, row);
    ofProcess.set(`${process} ${home.key}`, row);
    return row;
  };
  for (const story of timeline.tests) {
    const home = homeOf(story);
    const known = ofProcess.get(`${story.process} ${home.key}`);
    // A test that ran again has a story for each time.
    const again =
      known && story.kind === "test" && known.stories.some((other) => other.kind === "test");
    const row = !known || again ? add(home, story.process) : known;
    if (again) row.attempt = (known.attempt || 1) + 1;
    row.stories.push(story);
  }
  for (const finding of report.findings) {
    const home = homeOf(finding.owner);
    (latest.get(home.key) || add(home, "")).findings.push(finding);
  }
  const taken = new Map();
  for (const row of rows) {
    const stories = row.stories;
    row.process = stories.length ? stories[0].process : "";
    row.isJudged = stories.every((story) => story.judged);
    row.begin = stories.length ? Math.min(...stories.map((story) => story.begin)) : null;
    const ends = stories.map((story) => story.end).filter((end) => end !== null);
    row.end = ends.length ? Math.max(...ends) : null;
    for (const kind of ["leases", "sessions", "statements", "loads"]) {
      row[kind] = stories.flatMap((story) => story[kind].map((thing) => ({ ...thing, story })));
      row[`all_${kind}`] =
        row[kind].length + stories.reduce((sum, story) => sum + (story.left_out[kind] || 0), 0);
    }
    row.statements.sort((a, b) => a.begin - b.begin);
    row.loads.sort((a, b) => a.at - b.at);
    row.findings.sort((a, b) => rankOf(a) - rankOf(b) || a.rule.localeCompare(b.rule));
    row.rank = Math.min(3, ...row.findings.map(rankOf));
    row.text =
      `${row.title} ${row.findings.map((f) => `${f.rule} ${f.name} ${f.title} ${fileOf(f)}`).join(" ")}`.toLowerCase();
    const number = (taken.get(row.key) || 0) + 1;
    taken.set(row.key, number);
    row.slug = wellFormed(number === 1 ? row.key : `${row.key} ~${number}`);
  }
  // Findings first; what is fine comes in the order of the run.
  return rows.sort((a, b) => a.rank - b.rank || (a.begin ?? 0) - (b.begin ?? 0));
}

// A lone surrogate cannot stand in an address.
function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

const rows = makeRows();
const rowBySlug = new Map(rows.map((row) => [row.slug, row]));

const leaseByNumber = new Map();
for (const row of rows) {
  for (const lease of row.leases) leaseByNumber.set(`${row.process} ${lease.id}`, { lease, row });
}

const runEnd = Math.max(
  1,
  ...timeline.engines.map((engine) =>
    engine.out.length ? engine.out[engine.out.length - 1][0] : 0,
  ),
  rows.reduce((most, row) => Math.max(most, row.end ?? 0), 0),
);

// Before the first test there is nothing to see.
const runBegin = Math.max(
  0,
  Math.min(
    runEnd - 1,
    ...timeline.engines.map((engine) => (engine.out.length ? engine.out[0][0] : runEnd)),
    rows.reduce((least, row) => Math.min(least, row.begin ?? runEnd), runEnd),
  ),
);

// The rows of one process in the order of time, to find who ran at a moment.
const rowsByProcess = new Map();
for (const row of rows) {
  if (row.kind !== "test" || row.begin === null) continue;
  if (!rowsByProcess.has(row.process)) rowsByProcess.set(row.process, []);
  rowsByProcess.get(row.process).push(row);
}
for (const list of rowsByProcess.values()) list.sort((a, b) => a.begin - b.begin);

function rowAt(process, at) {
  const list = rowsByProcess.get(process) || [];
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].begin <= at) low = middle + 1;
    else high = middle;
  }
  const row = list[low - 1];
  return row && (row.end === null || row.end >= at) ? row : null;
}

// How many are out at a moment: the last point before it.
function outAt(engine, at) {
  let low = 0;
  let high = engine.out.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (engine.out[middle][0] <= at) low = middle + 1;
    else high = middle;
  }
  return { number: low ? engine.out[low - 1][1] : 0, next: low };
}

function peakWithin(engine, begin, end) {
  const start = outAt(engine, begin);
  let peak = start.number;
  for (let i = start.next; i < engine.out.length && engine.out[i][0] <= end; i++)
    peak = Math.max(peak, engine.out[i][1]);
  return peak;
}
