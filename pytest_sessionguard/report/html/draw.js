// How elements are made: text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== ""),
  );
  return node;
}
const make = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);
const say = (text) => byId("said").replaceChildren(text);

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without the permission there is the old way.
    const range = document.createRange();
    range.selectNodeContents(button);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    document.execCommand("copy");
    selection.removeAllRanges();
  }
  button.dataset.done = "";
  say("Copied");
  setTimeout(() => delete button.dataset.done, 1500);
}

function makeCopy(text) {
  const button = make("button", { type: "button", class: "copy", title: "Copy" }, text);
  button.addEventListener("click", () => copyText(text, button));
  return button;
}

// What stands in backticks is code.
function mark(text) {
  return text.split(/`([^`]+)`/).map((part, i) => (i % 2 ? make("code", {}, part) : part));
}

function makeFrame(frame) {
  return make("span", {}, makeCopy(placeOf(frame)), ` in ${frame[2]}`);
}

function makeSite(number) {
  const frames = siteOf(number);
  if (!frames.length) return make("span", { class: "muted" }, "a place without a frame of yours");
  return make(
    "span",
    {},
    makeFrame(frames[0]),
    frames.length > 1 ? make("span", { class: "muted" }, ", from ", makeFrame(frames[1])) : null,
  );
}

const MARKS = { error: "\u25cf", warn: "\u25b2", accepted: "\u25cb" };
function makeMark(kind) {
  return make("span", { class: `mark ${kind}`, "aria-hidden": "true" }, MARKS[kind]);
}

function makeTable(caption, heads, lines, kind = "", isHeaded = false) {
  return make(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    make(
      "table",
      { class: kind || null },
      make("caption", { class: isHeaded ? "unseen" : null }, caption),
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          heads.map((head) =>
            make("th", { scope: "col", class: head.endsWith(" ") ? "number" : null }, head.trim()),
          ),
        ),
      ),
      make(
        "tbody",
        {},
        lines.map((cells) =>
          make(
            "tr",
            {},
            cells.map((cell, i) =>
              make(
                "td",
                heads[i].endsWith(" ")
                  ? { class: "number", "data-label": isHeaded ? null : heads[i].trim() }
                  : {},
                cell,
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

// Lines of a long table come in portions.
function makePagedTable(caption, heads, lines, size = 50) {
  const box = make("div");
  const show = (shown) => {
    box.replaceChildren(makeTable(caption, heads, lines.slice(0, shown), "stack"));
    if (shown < lines.length) {
      const button = make(
        "button",
        { type: "button", onclick: () => show(shown + 200) },
        `Show ${Math.min(200, lines.length - shown)} more`,
      );
      box.append(make("div", { class: "more" }, button));
    }
  };
  show(size);
  return box;
}

// Round numbers between two, about as many as wanted.
function niceSteps(from, to, wanted) {
  const raw = (to - from) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= raw * 0.9999);
  const steps = [];
  for (let i = Math.ceil(from / step - 0.0001); i * step <= to + step * 0.0001; i++)
    steps.push(i * step);
  return steps;
}

function labelTime(ms, span) {
  if (span >= 120000) return `${+(ms / 60000).toFixed(1)} min`;
  if (span >= 2000) return `${+(ms / 1000).toFixed(2)} s`;
  return `${+ms.toFixed(span < 2 ? 2 : span < 20 ? 1 : 0)} ms`;
}

// Draws again when its box changes its width.
function keepDrawn(box, drawIn) {
  let width = 0;
  const look = () => {
    const now = Math.floor(box.clientWidth);
    if (!now || now === width) return;
    width = now;
    drawIn(now);
  };
  new ResizeObserver(look).observe(box);
  look();
}
