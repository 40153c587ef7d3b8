// Sessions and connections of one test as bars on a time axis, its statements as ticks on them.

const SHOWN_LANES = 40;

// The lanes: each session with the connections that it took, then connections without a session.
function makeLanes(row) {
  const lanes = [];
  const used = new Set(
    row.statements.map((statement) => statement.lease).filter((id) => id !== null),
  );
  const leases = [...row.leases].sort((a, b) => a.begin - b.begin);
  const own = new Set(leases.map((lease) => lease.id));
  const label = (thing) =>
    thing.story.kind === "fixture" && row.kind === "test" ? ` of ${thing.story.name}` : "";
  const laneOf = (lease, depth, lent) =>
    lanes.push({
      kind: "lease",
      lease,
      depth,
      lent,
      name: `connection${lent ? ` of ${lent}` : depth ? "" : label(lease)}`,
    });
  for (const session of [...row.sessions].sort((a, b) => (a.begin ?? 0) - (b.begin ?? 0))) {
    lanes.push({ kind: "session", session, name: `${session.kind}${label(session)}` });
    for (const lease of leases.filter((one) => one.session === session.id)) laneOf(lease, 1, "");
  }
  const shown = new Set(row.sessions.map((session) => session.id));
  for (const lease of leases.filter((one) => !shown.has(one.session))) laneOf(lease, 0, "");
  for (const id of used) {
    const other = own.has(id) ? null : leaseByNumber.get(`${row.process} ${id}`);
    if (other) laneOf(other.lease, 0, other.row.name);
  }
  return lanes;
}

function makeTaleChart(row, lanes, events, all) {
  const box = make("div", {
    class: "chart",
    tabindex: events.length ? "0" : null,
    role: "group",
    "aria-label": `Time axis of ${row.name}. ${events.length ? "Arrow keys go from statement to statement." : ""} The tables below have the same.`,
  });
  const panel = make("div", { class: "sql", "aria-live": "polite" });
  const hint = events.length
    ? `${count(row.statements.length, "statement")}${row.loads.length ? ` and ${count(row.loads.length, "load")}` : ""}: point at one, or use the arrow keys.`
    : "No statement.";
  panel.append(make("span", { class: "muted" }, hint));
  let chosen = -1;
  let point = () => {};
  const choose = (number) => {
    chosen = Math.max(0, Math.min(events.length - 1, number));
    point(chosen);
    panel.replaceChildren(...describeEvent(row, events[chosen]));
  };
  keepDrawn(box, (width) => {
    point = drawTale(box, row, lanes, events, width, choose);
    if (chosen >= 0) point(chosen);
  });
  box.addEventListener("keydown", (event) => {
    const to = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 0, End: Infinity }[event.key];
    if (to === undefined || !events.length) return;
    event.preventDefault();
    event.stopPropagation();
    choose(to);
  });
  const rest =
    all > lanes.length
      ? make(
          "p",
          { class: "muted" },
          `The first ${lanes.length} of ${all} bars; the tables have all.`,
        )
      : null;
  return make("div", {}, box, makeLegend(row, lanes), rest, panel);
}

const isLost = (lease) => lease.fate === "out" || lease.fate === "collected";

function makeLegend(row, lanes) {
  const item = (shape, text) =>
    make("li", {}, draw("svg", { width: 20, height: 12, "aria-hidden": "true" }, shape), text);
  const has = (kind) => lanes.some((lane) => lane.kind === kind);
  return make(
    "ul",
    { class: "legend" },
    has("session")
      ? item(
          draw("rect", { class: "session closed", x: 1, y: 1, width: 18, height: 9, rx: 2 }),
          "session",
        )
      : null,
    lanes.some((lane) => lane.lease && !isLost(lane.lease))
      ? item(draw("rect", { class: "lease", x: 0, y: 1, width: 20, height: 9 }), "connection out")
      : null,
    lanes.some((lane) => lane.lease && isLost(lane.lease))
      ? item(
          draw("rect", { class: "lease out", x: 0, y: 1, width: 20, height: 9 }),
          "connection lost",
        )
      : null,
    row.statements.length
      ? item(draw("line", { class: "tick", x1: 10, x2: 10, y1: 0, y2: 12 }), "statement")
      : null,
    row.loads.length
      ? item(draw("path", { class: "load", d: "M10,0l5,6l-5,6l-5,-6z" }), "lazy load")
      : null,
  );
}

function describeEvent(row, event) {
  const at = `${showTime(event.at - row.begin)} after the start`;
  if (event.load)
    return [
      make("span", { class: "muted" }, `${at}: lazy load of `),
      make("strong", {}, event.load.attribute),
      " at ",
      makeSite(event.load.site),
    ];
  const took =
    event.statement.took === null
      ? "it did not come back"
      : `took ${showTime(event.statement.took)}`;
  return [
    make("span", { class: "muted" }, `${at}, ${took}`),
    make("code", {}, timeline.sql[event.statement.sql] || ""),
  ];
}

function drawTale(box, row, lanes, events, width, choose) {
  const isNarrow = width < 620;
  const edge = { left: isNarrow ? 4 : 226, right: isNarrow ? 8 : 128, top: 4, bottom: 22 };
  const step = isNarrow ? 40 : 24;
  const thick = 12;
  const loose = events.some(
    (event) =>
      event.load || !lanes.some((lane) => lane.lease && lane.lease.id === event.statement?.lease),
  );
  const height = edge.top + (lanes.length + (loose ? 1 : 0)) * step + edge.bottom;
  const ends = [
    row.end ?? 0,
    ...row.leases.map((one) => one.end ?? 0),
    ...row.sessions.map((one) => one.end ?? 0),
    ...events.map((event) => event.at),
  ];
  const begin = row.begin;
  // What ended long after the test (a fixture's, or the collector's) would squeeze the rest.
  const until =
    row.kind === "test" && row.end !== null
      ? Math.max(row.end, ...events.map((event) => event.at))
      : Math.max(...ends);
  const span = Math.max(until - begin, 0.05);
  const x = (at) =>
    edge.left +
    ((Math.min(Math.max(at, begin), begin + span) - begin) / span) *
      (width - edge.left - edge.right);
  const top = (number) => edge.top + number * step + (isNarrow ? 20 : 5);
  const parts = [];
  const laneByLease = new Map();
  lanes.forEach((lane, number) => {
    const y = top(number);
    const thing = lane.session || lane.lease;
    const from = x(thing.begin ?? begin);
    const to = thing.end === null ? x(begin + span) : x(thing.end);
    const frames = siteOf(thing.site);
    const bad =
      ["out", "collected", "open", "dropped"].includes(thing.fate) || (thing.again && lane.session);
    const place = frames.length ? placeOf(frames[0]) : "";
    const indent = lane.depth ? 14 : 0;
    const name = lane.session ? thing.kind : "connection";
    parts.push(
      draw("rect", {
        class: "lane",
        x: edge.left,
        y: y + thick / 2 - 0.5,
        width: width - edge.left - edge.right,
        height: 1,
      }),
    );
    const size = { x: from, y, width: Math.max(to - from, 2), height: thick };
    const bar = lane.session
      ? draw("rect", { class: `session ${thing.fate}`, rx: 2, ...size })
      : draw("rect", { class: `lease ${thing.fate}${lane.lent ? " lent" : ""}`, ...size });
    bar.append(draw("title", {}, `${lane.name}, ${place}, ${FATES[thing.fate]}`));
    parts.push(bar);
    const late = thing.end !== null && thing.end > begin + span;
    const words =
      {
        out: "never returned",
        collected: "left to collector",
        open: "never closed",
        dropped: "dropped",
        detached: "detached",
        invalidated: "invalidated",
      }[thing.fate] || (late ? (lane.session ? "closed later" : "returned later") : "");
    const end = lane.lent ? "" : words;
    const room = isNarrow
      ? Math.floor((width - indent - 16 - 6.6 * end.length) / 6.6)
      : 33 - (lane.depth ? 2 : 0);
    parts.push(
      draw(
        "text",
        { class: "name", x: isNarrow ? edge.left + indent : indent, y: isNarrow ? y - 5 : y + 10 },
        name,
        draw(
          "tspan",
          { dx: 6, fill: "var(--muted)" },
          shortenPath(place.split("/").pop(), room - name.length),
        ),
      ),
    );
    if (end && !isNarrow)
      parts.push(
        draw("text", { class: bad ? "bad" : "end", x: width - edge.right + 8, y: y + 10 }, end),
      );
    if (end && isNarrow)
      parts.push(
        draw(
          "text",
          { class: bad ? "bad" : "end", x: width - edge.right, y: y - 5, "text-anchor": "end" },
          end,
        ),
      );
    if (lane.session && thing.again) {
      const at = x(thing.again.at);
      parts.push(
        draw(
          "path",
          { class: "again", d: `M${at - 5},${y - 3}h10l-5,7z` },
          draw(
            "title",
            {},
            `began again at ${siteOf(thing.again.site).map(placeOf)[0] || "an unknown place"}`,
          ),
        ),
      );
    }
    if (lane.lease) laneByLease.set(lane.lease.id, number);
  });
  if (loose)
    parts.push(
      draw(
        "text",
        { class: "name", x: 0, y: isNarrow ? top(lanes.length) - 5 : top(lanes.length) + 10 },
        events.some((event) => event.load) ? "lazy loads" : "statements",
      ),
    );
  for (const at of niceSteps(0, span, Math.max(2, (width - edge.left - edge.right) / 110))) {
    const left = x(begin + at);
    parts.unshift(
      draw("line", { class: "grid", x1: left, x2: left, y1: edge.top, y2: height - edge.bottom }),
    );
    parts.push(
      draw(
        "text",
        { x: left, y: height - 6, "text-anchor": at ? "middle" : "start" },
        labelTime(at, span),
      ),
    );
  }
  const ticks = events.map((event, number) => {
    const left = x(event.at);
    const lane = event.load
      ? lanes.length
      : (laneByLease.get(event.statement.lease) ?? lanes.length);
    const y = top(lane);
    const shape = event.load
      ? draw("path", { class: "load", d: `M${left},${y}l5,6l-5,6l-5,-6z` })
      : draw("line", { class: "tick", x1: left, x2: left, y1: y - 2, y2: y + thick + 2 });
    return { shape, left, y, number };
  });
  const svg = draw(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" },
    draw("title", {}, `Sessions, connections and statements of ${row.name}`),
    draw(
      "desc",
      {},
      `${count(row.all_sessions, "session")}, ${count(row.all_leases, "connection")}, ${count(row.all_statements, "statement")}, ${count(row.all_loads, "lazy load")}.`,
    ),
    parts,
    ticks.map((tick) => tick.shape),
  );
  const pick = (event) => {
    const frame = svg.getBoundingClientRect();
    const point = { x: event.clientX - frame.left, y: event.clientY - frame.top };
    let best = null;
    for (const tick of ticks) {
      const far = Math.abs(tick.left - point.x) + Math.abs(tick.y + thick / 2 - point.y) / 2;
      if (!best || far < best.far) best = { far, number: tick.number };
    }
    if (best && best.far < 24) choose(best.number);
  };
  svg.addEventListener("pointermove", pick);
  svg.addEventListener("click", pick);
  box.replaceChildren(svg);
  let marked = null;
  return (number) => {
    marked?.classList.remove("now");
    marked = ticks[number]?.shape;
    marked?.classList.add("now");
  };
}

const shortenPath = (text, most) =>
  text.length > most ? `\u2026${text.slice(-Math.max(4, most - 1))}` : text;
