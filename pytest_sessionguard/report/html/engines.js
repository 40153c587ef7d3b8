// Connections out over the run, one chart an engine.

const SHOWN_ENGINES = 4;

// A pool of one is either empty or full: that tells nothing.
const nearness = (engine) => (engine.limit > 1 ? engine.peak / engine.limit : 0);

function judgeEngine(engine) {
  if (!engine.limit)
    return { kind: "muted", text: `peak ${engine.peak}, ${engine.pool} has no limit` };
  const text = `peak ${engine.peak} of ${engine.limit}`;
  if (nearness(engine) >= 1) return { kind: "is-error", text: `${text}: at its limit` };
  if (nearness(engine) >= 0.75) return { kind: "is-warn", text: `${text}: near its limit` };
  return { kind: "muted", text };
}

function tightest() {
  return (
    timeline.engines
      .filter((engine) => engine.limit > 1)
      .sort((a, b) => nearness(b) - nearness(a))[0] || null
  );
}

function nameEngine(engine) {
  const pool = engine.limit ? `${engine.pool} ${engine.size}+${engine.overflow}` : engine.pool;
  const many = engine.engines > 1 ? `${engine.engines} engines, the fullest at each moment` : "";
  const process = timeline.processes.length > 1 ? `process ${engine.process}` : "";
  return [engine.engine, [pool, process, many].filter(Boolean).join(" \u00b7 ")];
}

// Those whose tests have findings, on this engine or on none.
function flagsOf(engine, index) {
  return rows.filter(
    (row) =>
      row.findings.length &&
      row.begin !== null &&
      row.process === engine.process &&
      (!row.leases.length || row.leases.some((lease) => lease.engine === index)),
  );
}

function makeEngine(engine, index) {
  const [name, more] = nameEngine(engine);
  const verdict = judgeEngine(engine);
  const flags = flagsOf(engine, index).sort((a, b) => a.begin - b.begin);
  const box = make("div", {
    tabindex: "0",
    role: "group",
    "aria-label": `Chart of ${name}: arrow keys go to tests with findings, Enter opens one`,
  });
  const readout = make("p", { class: "readout", "aria-live": "polite" });
  const rest = flags.length
    ? `${flags.length.toLocaleString("en")} with findings, marked below; point at the chart, or use the arrow keys.`
    : "Point at the chart to see which test ran.";
  readout.append(rest);
  const state = { at: null, flag: -1, row: null };

  const tell = (at, row) => {
    const { number } = outAt(engine, at);
    const limit = engine.limit ? ` of ${engine.limit}` : "";
    readout.replaceChildren(
      `${showTime(at)}: ${number}${limit} out`,
      row ? " in " : "",
      row ? make("strong", {}, mark(row.name)) : "",
      row && row.findings.length ? ` (${codesOf(row)})` : "",
    );
  };
  let place = () => {};
  keepDrawn(box, (width) => {
    place = drawEngine(box, engine, flags, width, {
      onpoint: (at) => {
        state.row = rowAt(engine.process, at);
        tell(at, state.row);
      },
      onleave: () => readout.replaceChildren(rest),
      onpick: () => state.row && openRow(state.row),
    });
  });
  box.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by && flags.length) {
      event.preventDefault();
      state.flag = Math.max(0, Math.min(flags.length - 1, state.flag + by));
      state.row = flags[state.flag];
      place(middleOf(state.row));
      tell(middleOf(state.row), state.row);
    } else if (event.key === "Enter" && state.row) {
      event.preventDefault(); // or it presses the button that has the focus next
      openRow(state.row);
    }
  });
  return make(
    "figure",
    { class: "engine" },
    make(
      "figcaption",
      {},
      make("span", {}, make("h3", { class: "mono" }, name), make("span", { class: "muted" }, more)),
      make("span", { class: verdict.kind }, verdict.text),
    ),
    box,
    readout,
    makeEngineTable(engine, index, name),
  );
}

const middleOf = (row) => (row.begin + (row.end ?? row.begin)) / 2;
const codesOf = (row) => [...new Set(row.findings.map((finding) => finding.rule))].join(", ");

function drawEngine(box, engine, flags, width, hooks) {
  const height = 150;
  const edge = { left: 30, right: width < 560 ? 12 : 92, top: 16, bottom: 34 };
  const inner = { width: width - edge.left - edge.right, height: height - edge.top - edge.bottom };
  const most = Math.max(engine.limit || 0, engine.peak, 1);
  const x = (at) => edge.left + ((at - runBegin) / (runEnd - runBegin)) * inner.width;
  const y = (number) => edge.top + inner.height * (1 - number / most);
  const base = y(0);
  let path = `M${x(runBegin)},${base}`;
  for (const [at, number] of engine.out) path += `H${x(at).toFixed(1)}V${y(number).toFixed(1)}`;
  path += `H${x(runEnd).toFixed(1)}`;
  const clip = `over-${timeline.engines.indexOf(engine)}`;
  const isOver = engine.limit && engine.size < engine.peak;
  const limits = [];
  const addLimit = (number, kind, text) => {
    limits.push(
      draw("line", {
        class: kind,
        x1: edge.left,
        x2: width - edge.right,
        y1: y(number),
        y2: y(number),
      }),
    );
    const at =
      width < 560
        ? { x: width - edge.right, y: y(number) - 4, "text-anchor": "end" }
        : { x: width - edge.right + 8, y: y(number) + 4 };
    limits.push(draw("text", { class: `${kind}-text`, ...at }, text));
  };
  if (engine.limit) {
    if (engine.size < engine.limit) addLimit(engine.size, "size", `pool_size ${engine.size}`);
    addLimit(engine.limit, "limit", `limit ${engine.limit}`);
  }
  const cross = draw("line", {
    class: "cross",
    x1: 0,
    x2: 0,
    y1: edge.top,
    y2: base,
    visibility: "hidden",
  });
  const svg = draw(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" },
    draw("title", {}, `Connections of ${engine.engine} out over the run`),
    draw("desc", {}, `${judgeEngine(engine).text}. The table below has the numbers by test.`),
    draw(
      "defs",
      {},
      draw(
        "clipPath",
        { id: clip },
        draw("rect", { x: 0, y: 0, width, height: Math.max(0, y(engine.size || 0)) }),
      ),
    ),
    niceSteps(0, most, 3)
      .filter(Number.isInteger)
      .map((number) => [
        draw("line", {
          class: "grid",
          x1: edge.left,
          x2: width - edge.right,
          y1: y(number),
          y2: y(number),
        }),
        draw("text", { x: edge.left - 7, y: y(number) + 4, "text-anchor": "end" }, String(number)),
      ]),
    niceSteps(runBegin, runEnd, Math.max(3, inner.width / 130)).map((at) =>
      draw("text", { x: x(at), y: height - 4, "text-anchor": "middle" }, labelTime(at, runEnd)),
    ),
    draw("path", { class: "area", d: `${path}V${base}Z` }),
    isOver
      ? draw("path", { class: "area over", d: `${path}V${base}Z`, "clip-path": `url(#${clip})` })
      : null,
    draw("path", { class: "curve", d: path }),
    limits,
    flags.map((row) => {
      const at = x(middleOf(row));
      return draw("path", {
        class: `flag ${["error", "warn", "accepted"][row.rank]}`,
        d: `M${at},${base + 4}l4,8h-8z`,
      });
    }),
    cross,
  );
  const place = (at) => {
    for (const name of ["x1", "x2"]) cross.setAttribute(name, x(at));
    cross.setAttribute("visibility", "visible");
  };
  svg.addEventListener("pointermove", (event) => {
    const left = event.clientX - svg.getBoundingClientRect().left;
    // A mark nearby is meant.
    const near = flags.find((row) => Math.abs(x(middleOf(row)) - left) < 5);
    const at = near
      ? middleOf(near)
      : Math.max(
          runBegin,
          Math.min(runEnd, runBegin + ((left - edge.left) / inner.width) * (runEnd - runBegin)),
        );
    place(at);
    hooks.onpoint(at);
  });
  svg.addEventListener("pointerleave", () => {
    cross.setAttribute("visibility", "hidden");
    hooks.onleave();
  });
  svg.addEventListener("click", hooks.onpick);
  box.replaceChildren(svg);
  return place;
}

function makeEngineTable(engine, index, name) {
  const details = make("details", {}, make("summary", {}, "As a table, by test"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const lines = rows
      .filter(
        (row) =>
          row.begin !== null &&
          row.process === engine.process &&
          row.leases.some((lease) => lease.engine === index),
      )
      .map((row) => ({ row, peak: peakWithin(engine, row.begin, row.end ?? runEnd) }))
      .sort((a, b) => b.peak - a.peak || a.row.begin - b.row.begin)
      .map(({ row, peak }) => [
        makeRowLink(row),
        String(peak),
        String(row.leases.filter((lease) => lease.engine === index).length),
        showTime(row.begin),
        row.findings.length ? codesOf(row) : "",
      ]);
    details.append(
      makePagedTable(
        `Connections of ${name}, the fullest first`,
        ["Test", "Most out ", "Taken ", "Began at ", "Findings"],
        lines,
      ),
    );
  });
  return details;
}

// What size each pool needs, in the words of the terminal.
function showAdvice() {
  const { pools = [], holdouts = [] } = report.advice || {};
  if (pools.length) {
    const items = pools.map((pool) => {
      const [head, ...rest] = pool.text.split("\n").map((line) => line.trim());
      return make(
        "li",
        {},
        make("span", { class: "mono" }, head),
        rest.map((line) => make("div", { class: "muted" }, line)),
      );
    });
    byId("engine-list").append(
      make(
        "details",
        { class: "advice" },
        make("summary", {}, "What size the pools need"),
        make("ul", {}, items),
      ),
    );
  }
  if (holdouts.length) {
    const total = holdouts.reduce((sum, holdout) => sum + holdout.count, 0);
    byId("notes").append(
      make(
        "p",
        { class: "note" },
        `${count(total, "connection")} kept a thread alive when the run was over: close them on their loop, or the process does not end by itself.`,
      ),
    );
  }
}

function showEngines() {
  const { pools = [] } = report.advice || {};
  byId("engines").hidden = !timeline.engines.length && !pools.length;
  if (timeline.engines.length)
    byId("engines-lead").append(
      "How many connections were checked out of each pool, and how many it can give.",
    );
  const order = timeline.engines
    .map((engine, index) => ({ engine, index }))
    .sort(
      (a, b) =>
        nearness(b.engine) - nearness(a.engine) ||
        b.engine.peak - a.engine.peak ||
        a.index - b.index,
    );
  const add = (box, list) =>
    box.append(...list.map(({ engine, index }) => makeEngine(engine, index)));
  add(byId("engine-list"), order.slice(0, SHOWN_ENGINES));
  const others = order.slice(SHOWN_ENGINES);
  if (others.length) {
    const details = make(
      "details",
      {},
      make("summary", {}, `${count(others.length, "pool")} more, farther from their limits`),
    );
    details.addEventListener(
      "toggle",
      () => details.open && details.childElementCount === 1 && add(details, others),
    );
    byId("engine-list").append(details);
  }
  showAdvice();
}
