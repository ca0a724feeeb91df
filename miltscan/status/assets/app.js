// The status page: requests api/status every few seconds and shows the response. Every text is set by textContent.
"use strict";

const INTERVAL = 3000; // milliseconds between two requests
const TIMEOUT = 8000; // milliseconds for a response
const SVG = "http://www.w3.org/2000/svg";
const MARKS = { ok: "✓", warning: "!", error: "✕", lost: "?", unknown: "…" };
// What an administrator calls it.
const ACTIONS = { accept: "accepted", tempfail: "try again later (4xx)", reject: "refused (5xx)", discard: "discarded",
  quarantine: "kept in quarantine", hold: "held by sendmail", redirect: "sent to another address", copy: "accepted, with a copy" };
const FATES = { clean: "scanned", spam: "spam", unscanned: "not scanned", error: "an engine failed", infected: "infected" };
const KINDS = { clamd: "viruses", rspamd: "spam", spamd: "spam" };
const LEVELS = { ok: "ok", warning: "warning", error: "error" };
const OUTCOMES = ["clean", "spam", "unscanned", "error", "infected"];
let last = null;

const $ = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function svgElement(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A text that did not change is not set again: a screen reader would read it again.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// --- formats of values ---

const known = (value) => value !== null && value !== undefined;
const whole = (value) => (known(value) ? Math.round(value).toLocaleString("en") : "–");
// Two or three significant digits, without trailing zeros.
const digits = (value) => String(Number(value.toPrecision(value >= 100 ? Math.ceil(Math.log10(value + 1)) : 2)));
const plain = (value) => (known(value) ? String(Number(value.toFixed(1))) : "–");

function rate(value) {
  if (!known(value)) return "–";
  if (value === 0) return "0";
  return value >= 1 ? `${digits(value)}/s` : `${digits(value * 60)}/min`;
}

function seconds(value) {
  if (!known(value)) return "–";
  if (value === 0) return "0";
  return value >= 1 ? `${digits(value)} s` : `${digits(value * 1000)} ms`;
}

function bytes(value) {
  if (!known(value)) return "–";
  let unit = 0;
  for (; value >= 1024 && unit < 4; unit += 1) value /= 1024;
  return `${unit ? digits(value) : value} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

function age(value) {
  if (!known(value)) return "–";
  value = Math.max(0, value);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (value >= 2 * size) return `${Math.floor(value / size)} ${unit}`;
  }
  return `${Math.floor(value)} s`;
}

function clock(at) {
  const then = new Date(at * 1000);
  const today = then.toDateString() === new Date().toDateString();
  const time = then.toLocaleTimeString("en-GB");
  return today ? time : `${then.toLocaleDateString("sv-SE")} ${time}`;
}

const action = (name) => ACTIONS[name] || name;
const reason = (name) => (name === "canary" ? "self-test failed" : name);

// "message unscanned, tempfail" and the names of log events.
function event(what) {
  const found = /^message (\w+), (\w+)$/.exec(what);
  return found ? `${FATES[found[1]] || found[1]}: ${action(found[2])}` : what.replaceAll("_", " ");
}

// --- tables and lists ---

// `columns`: [title, class of the cells]; a cell is a text, or [text, class].
function table(id, caption, columns, rows) {
  const node = $(id);
  const state = JSON.stringify(rows);
  if (node.dataset.state === state) return;
  node.dataset.state = state;
  node.setAttribute("role", "table"); // on a phone its rows are blocks, which hides that it is a table
  const body = element("tbody");
  body.setAttribute("role", "rowgroup");
  for (const row of rows) body.append(line(columns, row));
  if (!rows.length) {
    node.replaceChildren(element("caption", "", caption), body);
    body.append(element("tr"));
    body.firstChild.setAttribute("role", "row");
    body.firstChild.append(element("td", "none", node.dataset.empty || "None."));
    body.firstChild.firstChild.setAttribute("role", "cell");
    return;
  }
  const head = element("tr");
  head.setAttribute("role", "row");
  for (const [title, kind] of columns) {
    const cell = element("th", kind === "number" ? kind : "", title);
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    head.append(cell);
  }
  const top = element("thead");
  top.setAttribute("role", "rowgroup");
  top.append(head);
  node.replaceChildren(element("caption", "", caption), top, body);
}

// A long table shows its first rows, and a button shows the others.
function fold(id, shown) {
  const node = $(id);
  const rows = [...node.querySelectorAll("tbody tr")];
  const all = node.dataset.all === "yes";
  rows.forEach((row, index) => { row.hidden = !all && index >= shown; });
  let button = node.nextElementSibling;
  if (!button) {
    button = element("button", "more");
    button.type = "button";
    button.setAttribute("aria-controls", id);
    button.addEventListener("click", () => { node.dataset.all = node.dataset.all === "yes" ? "no" : "yes"; fold(id, shown); });
    node.after(button);
  }
  button.hidden = rows.length <= shown;
  button.setAttribute("aria-expanded", String(all));
  setText(button, all ? "Show fewer" : `Show all ${rows.length}`);
}

function line(columns, row) {
  const made = element("tr");
  made.setAttribute("role", "row");
  row.forEach((cell, index) => {
    const [text, kind] = Array.isArray(cell) ? cell : [cell, ""];
    const [title, className] = columns[index];
    const td = element("td", [className, kind].filter(Boolean).join(" "));
    td.dataset.label = title;
    td.setAttribute("role", "cell");
    td.append(element("span", "", text));
    made.append(td);
  });
  return made;
}

function pairs(id, entries) {
  const node = $(id);
  const state = JSON.stringify(entries);
  if (node.dataset.state === state) return;
  node.dataset.state = state;
  node.replaceChildren(...entries.flatMap(([name, text]) => [element("dt", "", name), element("dd", "", text)]));
}

function counts(values, word = (name) => name) {
  const some = Object.entries(values).filter(([, count]) => count > 0);
  return some.map(([name, count]) => `${word(name)} ${whole(count)}`).join(", ") || "none";
}

function field(name, text, className) {
  for (const node of document.querySelectorAll(`[data-field="${name}"]`)) {
    setText(node, text);
    if (className !== undefined) node.className = className;
  }
}

// --- plots ---

const STEPS = [1, 2, 2.5, 5, 10];

const EVEN = [2, 4, 6, 8, 10, 20]; // so that the middle of the axis is a whole number, too

function ceiling(value, steps) {
  const power = 10 ** Math.floor(Math.log10(value));
  return steps.find((step) => step * power >= value * 1.0001) * power;
}

// A plot in its figure: series [{name, kind, values}], stacked areas or lines.
class Plot {
  constructor(id, { stacked = false, counts = false, format, least }) {
    Object.assign(this, { stacked, format, least, steps: counts ? EVEN : STEPS, chosen: null, height: 170 });
    this.figure = $(id);
    this.title = this.figure.querySelector("figcaption").textContent;
    this.legend = element("div", "legend");
    this.svg = svgElement("svg", { role: "img", tabindex: "0" });
    this.figure.append(this.legend, this.svg);
    this.svg.addEventListener("pointermove", (event) => this.point(event.clientX));
    this.svg.addEventListener("pointerleave", () => this.choose(null));
    this.svg.addEventListener("blur", () => this.choose(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.times && this.draw()).observe(this.svg);
  }

  show(times, series, now) {
    Object.assign(this, { times, series, now });
    if (this.chosen !== null && this.chosen >= times.length) this.chosen = null;
    this.draw();
  }

  choose(index) {
    this.chosen = index;
    if (this.times) this.draw();
  }

  point(x) {
    if (!this.times || !this.times.length) return;
    const at = this.from + ((x - this.svg.getBoundingClientRect().left - this.left) / this.inner) * (this.now - this.from);
    let best = 0;
    this.times.forEach((time, index) => { if (Math.abs(time - at) < Math.abs(this.times[best] - at)) best = index; });
    this.choose(best);
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !this.times || !this.times.length) return;
    event.preventDefault();
    const end = this.times.length - 1;
    this.choose(Math.min(end, Math.max(0, (this.chosen === null ? end + 1 : this.chosen) + step)));
  }

  draw() {
    const covered = this.times.length ? this.now - this.times[0] : 0;
    const minutes = [1, 2, 5, 10, 15].find((some) => some * 60 >= covered - 10) || 15;
    const width = Math.max(240, this.svg.clientWidth || 600);
    this.from = this.now - minutes * 60;
    this.left = 56;
    this.inner = width - this.left - 8;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.replaceChildren();
    const top = this.scale();
    this.grid(width, top, minutes);
    this.curves();
    this.showLegend();
  }

  // The heights of the curves: in a stacked plot each begins at the sum of those below it.
  scale() {
    const base = this.times.map(() => 0);
    this.levels = this.series.map(({ values }) => values.map((value, index) => {
      if (!this.stacked) return [0, value];
      const foot = base[index];
      base[index] += value || 0;
      return [foot, base[index]];
    }));
    const highest = Math.max(this.least, ...this.levels.flat().map(([, head]) => head || 0));
    this.top = ceiling(highest, this.steps);
    return this.top;
  }

  x(time) { return this.left + (this.inner * (time - this.from)) / (this.now - this.from); }

  y(value) { return 146 - (138 * value) / this.top; }

  grid(width, top, minutes) {
    for (const part of [0, 0.5, 1]) {
      const y = this.y(top * part);
      this.svg.append(svgElement("line", { class: "grid", x1: this.left, x2: width - 8, y1: y, y2: y }));
      this.svg.append(svgElement("text", { x: this.left - 6, y: y + 4, "text-anchor": "end" }, this.format(top * part)));
    }
    const step = [1, 2, 5].find((some) => (this.inner / minutes) * some >= 64) || 5;
    for (let ago = 0; ago <= minutes; ago += step) {
      const anchor = ago === 0 ? "end" : ago === minutes ? "start" : "middle";
      const text = ago === 0 ? "now" : `−${ago} min`;
      this.svg.append(svgElement("text", { x: this.x(this.now - ago * 60), y: 164, "text-anchor": anchor }, text));
    }
  }

  curves() {
    this.series.forEach(({ kind }, index) => {
      for (const run of this.runs(this.levels[index])) {
        const head = run.map(([x, , y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" L");
        if (this.stacked) {
          const foot = run.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).reverse().join(" L");
          this.svg.append(svgElement("path", { class: `area c-${kind}`, d: `M${head} L${foot} Z` }));
        } else if (run.length > 1) {
          this.svg.append(svgElement("path", { class: `line c-${kind}`, d: `M${head}` }));
        } else {
          this.svg.append(svgElement("circle", { class: `dot c-${kind}`, cx: run[0][0], cy: run[0][2], r: 1.5 }));
        }
      }
    });
    if (this.chosen !== null) {
      const x = this.x(this.times[this.chosen]);
      this.svg.append(svgElement("line", { class: "cursor", x1: x, x2: x, y1: 8, y2: 146 }));
    }
  }

  // The stretches without a gap, as [x, foot, head] in pixels.
  runs(levels) {
    const found = [[]];
    levels.forEach(([foot, head], index) => {
      const x = this.x(this.times[index]);
      const outside = x < this.left;
      if (!known(head) || outside) found.push([]);
      else found[found.length - 1].push([x, this.y(foot), this.y(head)]);
    });
    return found.filter((run) => run.length);
  }

  showLegend() {
    const index = this.chosen === null ? this.times.length - 1 : this.chosen;
    const values = this.series.map(({ name, values: all }) => [name, index < 0 ? null : all[index]]);
    this.legend.replaceChildren(...values.map(([name, value], position) => {
      const entry = element("span");
      entry.append(element("i", `c-${this.series[position].kind}`), `${name} `, element("b", "", this.format(value)));
      return entry;
    }));
    if (this.chosen !== null) this.legend.append(element("time", "", clock(this.times[index])));
    const words = values.map(([name, value]) => `${name} ${this.format(value)}`).join(", ");
    this.svg.setAttribute("aria-label", `${this.title}${this.chosen === null ? ", now" : ` at ${clock(this.times[index])}`}: ${words}`);
  }
}

const ratePlot = new Plot("plot-rates", { stacked: true, format: rate, least: 0.05 });
const latencyPlot = new Plot("plot-latency", { format: seconds, least: 0.001 });
const loadPlot = new Plot("plot-load", { counts: true, format: whole, least: 3 });
const queuePlot = new Plot("plot-queues", { counts: true, format: whole, least: 3 });

function showPlots({ plots: past, at }) {
  const series = (name, kind, values) => ({ name, kind, values });
  const queues = Object.entries(past.queues);
  $("plot-queues").hidden = !queues.length; // first, as it changes the width of the plot next to it
  ratePlot.show(past.times, OUTCOMES.map((name) => series(name, name, past.rates[name] || [])), at);
  latencyPlot.show(past.times, ["p50", "p95", "p99"].map((name) => series(name, name, past[name])), at);
  loadPlot.show(past.times, [series("in flight", "second", past.in_flight), series("sessions", "first", past.sessions)], at);
  if (queues.length) queuePlot.show(past.times, queues.map(([name, values], index) => series(name, index ? "second" : "first", values)), at);
}

// --- the parts of the page ---

// The time passes outside the live region, which a screen reader would read again. `began` is that of the line at the top.
function showAssessment(level, text, findings, since = "", began = null) {
  $("assessment").className = level;
  setText($("assessment-mark"), MARKS[level]);
  setText($("assessment-text"), text);
  setText($("assessment-since"), since);
  const list = $("assessment-details");
  const state = JSON.stringify([findings, began]);
  if (state === list.dataset.state) return;
  list.dataset.state = state;
  list.replaceChildren(...findings.map((finding) => {
    const entry = element("li", finding.level, `${finding.subject}: ${finding.text}`);
    if (finding.since !== began) entry.append(element("span", "since", ` (since ${clock(finding.since)})`));
    if (finding.remedy) entry.append(element("span", "remedy", `→ ${finding.remedy}`));
    return entry;
  }));
}

// The strip has a stretch for each assessment of the last 24 hours; before the service was seen it is empty.
function showDay({ day, at }) {
  const strip = $("day-strip");
  const ends = [...day.slice(1).map((change) => change.at), at];
  const x = (time) => Math.max(0, 1000 - (1000 * (at - time)) / 86400);
  strip.setAttribute("viewBox", "0 0 1000 14");
  strip.setAttribute("preserveAspectRatio", "none");
  strip.replaceChildren(...day.map((change, index) => svgElement("rect",
    { class: `level-${change.level}`, x: x(change.at), y: 0, width: Math.max(1, x(ends[index]) - x(change.at)), height: 14 })));
  table("day", "Assessments of the last day", [["Since", "keep"], ["For", "keep"], ["Level", ""], ["Assessment", ""]],
    day.map((change, index) => [clock(change.at), index === day.length - 1 ? "until now" : age(ends[index] - change.at),
      [LEVELS[change.level], change.level], change.text]).reverse());
  fold("day", 3);
}

function showNow({ now }) {
  const { recent } = now;
  const notScanned = (recent.unscanned || 0) + (recent.error || 0);
  field("messages", whole(Object.values(recent).reduce((sum, count) => sum + count, 0)));
  field("infected", whole(recent.infected), recent.infected ? "infected" : "");
  field("not-scanned", whole(notScanned), notScanned > now.encrypted ? "not-scanned" : "");
  field("encrypted", whole(now.encrypted));
  for (const name of ["p50", "p95", "p99"]) field(name, seconds(now[name]));
  field("in-flight", whole(now.in_flight));
  field("sessions", now.sessions === 1 ? "1 session" : `${whole(now.sessions)} sessions`);
}

function showEngines({ engines, at }) {
  const loaded = engines.some((engine) => known(engine.queue));
  const columns = [["Engine", "strong"], ["Server", "code"], ["State", "keep"], ["Self-test passed", "number"], ["Signature version", "number"], ["Signature age", "number"], ["Errors", "number"]];
  if (loaded) columns.push(["Queue", "number"], ["Threads", "number"]);
  table("engines", "Engines", columns, engines.map((engine) => {
    const signed = KINDS[engine.type] !== "spam";
    const unknown = signed ? ["unknown", "soft"] : "–";
    const kind = [KINDS[engine.type], engine.required ? "" : "optional"].filter(Boolean).join(", ");
    const cells = [
      kind ? `${engine.engine} (${kind})` : engine.engine,
      engine.server,
      engine.up ? (engine.degraded ? ["▲ no room to unpack", "error"] : ["● up", "ok"]) : ["▲ down", "error"],
      known(engine.canary) ? `${age(at - engine.canary)} ago` : ["never", "error"],
      known(engine.version) ? String(engine.version) : unknown,
      known(engine.published) ? age(at - engine.published) : unknown,
      whole(engine.errors),
    ];
    const { live, max } = engine.threads;
    if (loaded) cells.push(engine.up ? whole(engine.queue) : "–", engine.up && known(live) ? `${whole(live)} of ${whole(max)}` : "–");
    return cells;
  }));
}

function showEvents({ detections, errors }) {
  table("detections", "Last detections",
    [["Time", "keep"], ["Signature", "strong"], ["Action", ""], ["Direction", ""], ["Client", "code"], ["Queue ID", "code"]],
    detections.map((one) => [clock(one.at), one.signature, action(one.action), one.direction, one.client, one.queue_id]));
  table("errors", "Errors and mail that was not scanned",
    [["Last time", "keep"], ["Count", "number"], ["Event", "strong"], ["Details", ""], ["Queue ID", "code"]],
    errors.map((one) => [clock(one.at), whole(one.count), event(one.what), one.text.replace(/^canary\b/, "self-test"), one.queue_id || "–"]));
  fold("detections", 8);
  fold("errors", 8);
}

function showTotals({ totals, now }) {
  table("outcomes", "Messages by outcome", [["Outcome", "strong"], ["Last minute", "number"], ["Total", "number"]],
    Object.entries(totals.outcomes).map(([name, count]) => [name, rate(now.rates[name]), whole(count)]));
  const entries = [["Directions", counts(totals.directions)], ["Actions", counts(totals.actions, action)],
    ["Replies", counts(totals.replies)], ["Not scanned", counts(totals.unscanned, reason)],
    ["Rules that matched", counts(totals.rules)]];
  if (Object.keys(totals.classes).length) entries.push(["Detections", counts(totals.classes)]);
  if (Object.keys(totals.observed).length) entries.push(["Rules not enforced", counts(totals.observed)]);
  if (Object.keys(totals.spam).length) entries.push(["Spam engines proposed", counts(totals.spam)]);
  pairs("totals", entries);
}

function showWorkers({ workers, spool }) {
  const entries = [["Workers", `${whole(workers.running)} of ${whole(workers.configured)} running, ${whole(workers.respawns)} replaced since the start`],
    ["Exceptions", whole(workers.exceptions)], ["Log lines lost", whole(workers.lines_lost)]];
  if (spool) entries.push(["Spool", `${whole(spool.files)} files, ${bytes(spool.bytes)}; ${bytes(spool.free)} free`]);
  pairs("workers", entries);
  $("processes").hidden = !workers.processes.length;
  table("processes", "Processes", [["Process", "strong"], ["Memory", "number"], ["CPU time", "number"], ["Open files", "number"]],
    workers.processes.map((one) => [/^[0-9]+$/.test(one.name) ? `worker ${one.name}` : one.name, bytes(one.resident), seconds(one.cpu), whole(one.descriptors)]));
}

function showQueues({ queues, at }) {
  appear("queues-section", queues.length > 0);
  table("queues", "Queues of sendmail", [["Queue", "strong"], ["Sendmail", "keep"], ["Messages", "number"], ["Size", "number"], ["Oldest", "number"]],
    queues.map((queue) => [queue.queue, queue.up ? ["● answers", "ok"] : ["▲ does not answer", "error"], queue.readable ? whole(queue.entries) : ["cannot be read", "error"], bytes(queue.bytes),
      known(queue.oldest) ? age(at - queue.oldest) : "–"]));
}

function showQuarantine({ quarantine, at }) {
  appear("quarantine-section", known(quarantine));
  if (!known(quarantine)) return;
  table("quarantine", "Areas of the quarantine", [["Area", "strong"], ["Messages", "number"], ["Size", "number"], ["Oldest", "number"], ["No longer detected", "number"]],
    quarantine.areas.map((area) => [area.area, whole(area.entries), bytes(area.bytes), known(area.oldest) ? age(at - area.oldest) : "–", whole(area.cleared)]));
  const parts = [known(quarantine.free) ? `${bytes(quarantine.free)} free` : "", quarantine.unindexed ? `${whole(quarantine.unindexed)} messages not in the index` : ""];
  setText($("quarantine-state"), parts.filter(Boolean).join("; "));
}

// A section that does not exist everywhere, and its entry in the contents.
function appear(id, there) {
  $(id).hidden = !there;
  document.querySelector(`#contents a[href="#${id}"]`).hidden = !there;
}

function showConfiguration({ configuration }) {
  const parts = [known(configuration.loaded) ? `in force since ${clock(configuration.loaded)}` : "",
    configuration.hash ? `hash ${configuration.hash}` : "",
    configuration.reloads_failed ? `${whole(configuration.reloads_failed)} reloads failed since the start` : ""];
  setText($("configuration-state"), parts.filter(Boolean).join(", "));
  const [changed, unchanged] = [true, false].map((which) => configuration.settings.filter((one) => one.changed === which));
  const key = ["Key", "code strong keep"];
  table("changed", "Settings that differ from their default values", [key, ["Value", "code"], ["Default", "code soft"], ["Meaning", ""]],
    changed.map((one) => [one.key, one.value, one.default, one.meaning]));
  table("unchanged", "Settings with their default values", [key, ["Value", "code"], ["Meaning", ""]],
    unchanged.map((one) => [one.key, one.value, one.meaning]));
  setText($("unchanged-count"), String(unchanged.length));
}

function show(status) {
  last = status;
  document.body.classList.remove("lost");
  const { level, text, findings, since } = status.assessment;
  showAssessment(level, `${text}.`, findings, known(since) ? `Since ${clock(since)}, for ${age(status.at - since)}` : "", since);
  setText($("host"), `${status.version} on ${status.host}`);
  setText($("updated"), `Updated ${clock(status.at)}, monitoring since ${clock(status.since)}`);
  document.title = `${MARKS[level]} miltscan ${status.host}`;
  for (const part of [showNow, showPlots, showDay, showEngines, showEvents, showTotals, showWorkers, showQueues, showQuarantine, showConfiguration]) part(status);
}

function lost(error) {
  document.body.classList.add("lost");
  const why = error instanceof ResponseError ? `the service responds with status ${error.message}` : "the service does not respond";
  const since = last ? ` The values below are from ${clock(last.at)}.` : "";
  showAssessment("lost", `Connection lost: ${why}.${since}`, []);
  document.title = "? miltscan";
}

class ResponseError extends Error {}

async function update() {
  try {
    const response = await fetch("api/status", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    if (!response.ok) throw new ResponseError(String(response.status));
    show(await response.json());
  } catch (error) {
    lost(error);
  }
}

// --- the field that finds a message ---

function showFound(id, message) {
  const node = $("found");
  if (!message) {
    node.replaceChildren(element("p", "", `Not among the last messages. The log may have it: miltscan trace '${id}'`));
    return;
  }
  const list = element("dl", "pairs");
  const entries = [["Time", clock(message.at)], ["Queue ID", message.queue_id], ["Direction", message.direction],
    ["Result", FATES[message.outcome] || message.outcome], ["Client received", `${action(message.action)}, ${message.code}`],
    ["Found", message.found ? reason(message.found) : "nothing"], ["Rule", message.rule || "none"], ["Size", bytes(message.size)],
    ["Added latency", seconds(message.seconds)], ["More in the log", `miltscan trace ${message.queue_id}`]];
  list.append(...entries.flatMap(([name, text]) => [element("dt", "", name), element("dd", "", text)]));
  node.replaceChildren(list);
}

$("find").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const id = $("find-id").value.trim();
  if (!id) return;
  try {
    const response = await fetch(`api/message?id=${encodeURIComponent(id)}`, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    if (!response.ok) throw new ResponseError(String(response.status));
    showFound(id, (await response.json()).message);
  } catch {
    $("found").replaceChildren(element("p", "", "The service does not respond."));
  }
});

// A hidden page sends no request; it sends one as soon as it is visible again.
async function run() {
  let wake = () => {};
  document.addEventListener("visibilitychange", () => wake());
  for (;;) {
    if (!document.hidden) await update();
    await new Promise((resolve) => { wake = resolve; setTimeout(resolve, INTERVAL); });
  }
}

run();
