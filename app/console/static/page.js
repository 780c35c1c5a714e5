// Polls /api/overview and draws it. Everything from the server goes into the page as text, never as markup.
"use strict";

const EVERY_MS = 2000, STALE_S = 8, KEEP = 900;
const COLORS = ["var(--tide)", "var(--warm)", "var(--mute)", "var(--violet)"];
const JUDGES = [["emitted", "emitted"], ["rule", "recency rule"], ["prior", "plain rate"]];
const BANDS = ["critical", "high", "medium", "low", "left"];

const $ = id => document.getElementById(id);
const past = { t: [] };
let answeredAt = 0, offset_s = 0;

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "width") node.style.width = value; else node.setAttribute(key, value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}

// --- numbers as text
const whole = v => v === null || v === undefined ? "–" : Math.round(v).toLocaleString("en");
const short = v => {
  if (v === null || v === undefined) return "–";
  const [divisor, unit] = v >= 1e9 ? [1e9, " B"] : v >= 1e6 ? [1e6, " M"] : v >= 1e4 ? [1e3, " k"] : [1, ""];
  const scaled = v / divisor;
  return scaled.toLocaleString("en", { maximumFractionDigits: scaled < 10 ? 2 : scaled < 100 ? 1 : 0 }) + unit;
};
const digits = (v, n) => v === null || v === undefined ? "–" : v.toFixed(n);
const percent = v => `${(100 * v).toFixed(v < 0.0995 || v > 0.9905 ? 1 : 0)} %`;
function span(s) {
  if (s === null || s === undefined) return "–";
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 129600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
}

// How long ago; a day when it is long ago, as in a replay of last year.
const moment = (t, now) => now - t < 172800 ? `${span(Math.max(0, now - t))} old` : new Date(t * 1000).toISOString().slice(0, 10);

// --- parts of the page
function drawRoles(roles) {
  $("roles").replaceChildren(...roles.map(role => {
    const state = !role.up ? "down" : role.ready ? "ready" : "waiting";
    const word = state === "down" ? `down: ${role.state === "waiting" ? "restarting" : role.reason}` : role.reason;
    const again = role.restarts ? `, ${role.restarts}× restarted` : "";
    return el("li", { class: state, title: `${role.url} – up for ${span(role.uptime_s)}` }, role.role, el("span", {}, word + again));
  }));
}

function tile(name, value, remark, mood = "") {
  return el("div", { class: `tile ${mood}` }, el("h3", {}, name), el("b", {}, value), el("p", {}, remark || "\u00a0"));
}

// `${number} ${words}`, or nothing while the number is not known.
const note = (v, words) => v === null || v === undefined ? "" : `${whole(v)} ${words}`;

function drawTiles(d) {
  const { metrics, served } = d.model, { events, lag, quarantine, warehouse } = d;
  const behind = lag.total > 5000 && lag.total > 10 * (events.events_per_s || 0);
  const gain = metrics.emitted.auc === null || metrics.rule.auc === null ? null : metrics.emitted.auc - metrics.rule.auc;
  const share = events.events ? 100 * quarantine.total / (quarantine.total + events.events) : null;
  const acute = Object.keys(d.bands).length ? (d.bands.critical || 0) + (d.bands.high || 0) : null;
  $("tiles").replaceChildren(
    tile("Events in", short(events.events), note(events.scores, "scores out")),
    tile("Events per second", short(events.events_per_s), d.watermark ? `newest event ${moment(d.watermark, d.now)}` : ""),
    tile("Customers", whole(events.customers), note(acute, "high or critical")),
    tile("Lag", whole(lag.total), note(Object.keys(lag.parts).length || null, "partitions"), behind ? "warn" : ""),
    tile("Quarantine", whole(quarantine.total), share === null ? "" : `${share.toFixed(3)} % of all`),
    tile("Examples matured", whole(d.model.examples), note(d.model.positives, "of them left")),
    tile("Served model", served || "–", metrics.emitted.log_loss === null ? "" : `log loss ${digits(metrics.emitted.log_loss, 3)}`),
    tile("AUC", digits(metrics.emitted.auc, 3), gain === null ? "" : `${gain < 0 ? "−" : "+"}${Math.abs(gain).toFixed(3)} to the rule`),
    tile("Deliveries", whole(d.deliveries.total), d.destinations.state === "delivering" ? note(d.pending, "pending") : d.destinations.state),
    tile("Snapshot age", span(warehouse.age_s), warehouse.snapshot ? note(warehouse.rows, "rows") : "none published yet",
      warehouse.snapshot ? "" : "warn"),
  );
}

function drawModel({ metrics, examples }) {
  $("matured").textContent = note(examples, "labels");
  const columns = [["auc", "AUC", Math.max], ["log_loss", "log loss", Math.min], ["brier", "Brier", Math.min]];
  const best = Object.fromEntries(columns.map(([key, , pick]) =>
    [key, pick(...JUDGES.map(([who]) => metrics[who][key]).filter(v => v !== null))]));
  $("model").replaceChildren(
    el("tr", {}, el("th", {}, "progressive"), ...columns.map(([, label]) => el("th", {}, label))),
    ...JUDGES.map(([who, label]) => el("tr", {}, el("td", {}, label), ...columns.map(([key]) => {
      const value = metrics[who][key];
      return el("td", { class: value !== null && value === best[key] ? "best" : "" }, digits(value, 3));
    }))));
}

// A measure [value, low, high] as text, its interval as a tooltip.
function measure(m, n = 3) {
  if (!m || m[0] === null) return el("td", {}, "–");
  return el("td", m[1] === null ? {} : { title: `95 % interval ${digits(m[1], n)} to ${digits(m[2], n)}` }, digits(m[0], n));
}

const signed = m => m && m[0] !== null ? `${m[0] < 0 ? "−" : "+"}${Math.abs(m[0]).toFixed(3)}` : "–";

function drawLeague({ served, champion, why, since, standings }) {
  const pinned = served && champion && !served.includes(champion);
  $("served").textContent = served ? `serving ${served}${since ? ` since ${new Date(since * 1000).toISOString().slice(0, 10)}` : ""}` : "";
  $("why").textContent = why ? `${why[0].toUpperCase()}${why.slice(1)}.${pinned ? ` The champion is ${champion}.` : ""}` : "";
  const rows = standings.map(one => el("tr", {},
    el("td", { class: one.alias === "champion" ? "best" : "" }, one.name.replaceAll("_", " ")),
    el("td", {}, one.alias), el("td", {}, whole(one.judged)), el("td", {}, digits(one.recent_log_loss, 3)),
    el("td", {}, one.alias === "champion" ? "–" : el("span", { class: "track", title: `${whole(one.compared)} predictions compared` },
      el("i", { width: `${100 * Math.min(1, one.evidence || 0)}%` })))));
  $("league").replaceChildren(...(rows.length ? [el("tr", {}, ...["model", "role", "judged", "log loss", "evidence"]
    .map(name => el("th", {}, name))), ...rows] : []));
}

function drawWindows({ windows = {}, against_rule = {}, estimated = {} }) {
  const named = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["all", "all time"]].filter(([w]) => windows[w]);
  const rows = named.map(([w, label]) => {
    const own = windows[w].emitted || {}, gain = (against_rule[w] || {}).emitted || {};
    return el("tr", {}, el("td", {}, label), el("td", {}, whole(own.predictions)), measure(own.auc), measure(own.log_loss),
      el("td", {}, signed(gain.log_loss)), measure(own.ece));
  });
  if (estimated.auc) rows.push(el("tr", { class: "quiet" }, el("td", {}, "expected, made in 30 days"), el("td", {}, ""),
    measure(estimated.auc), measure(estimated.log_loss), el("td", {}, ""), el("td", {}, "")));
  $("windows").replaceChildren(...(rows.length ? [el("tr", {}, ...["window", "labels", "AUC", "log loss", "to the rule", "ECE"]
    .map(name => el("th", {}, name))), ...rows] : [el("tr", {}, el("td", { class: "quiet" }, "nothing measured yet: no label has matured"))]));
}

function drawQuality({ lines = { t: [] }, reliability = [], alarms = [], moved = [] }) {
  for (const [chart, key] of [["auc", "auc"], ["realised", "log_loss"], ["ece", "ece"]]) {
    charts[chart].show(lines.t, JUDGES.filter(([who]) => lines[`${key}.${who}`]).map(([who, label]) =>
      ({ label, color: COLORS[JUDGES.findIndex(j => j[0] === who)], values: lines[`${key}.${who}`] })));
  }
  charts.reliability.show(reliability);
  $("moved").textContent = moved.length ? `in alarm: ${moved.join(", ").replaceAll("_", " ")}` : "";
  $("moved").className = moved.length ? "alarm" : "";
  $("alarms").replaceChildren(...(alarms.length ? alarms.map(a => el("li", {}, el("time", {}, a.day), a.sentence.replaceAll("_", " ")))
    : [el("li", { class: "quiet" }, "no alarm so far")]));
}

function bars(holder, rows, total, none) {
  const most = Math.max(1, ...rows.map(([, count]) => count));
  holder.replaceChildren(rows.length === 0 ? el("p", { class: "quiet" }, none) : el("div", { class: "bars" },
    ...rows.flatMap(([name, count, tone]) => [
      el("span", { class: "name" }, name.replaceAll("_", " ")),
      el("span", { class: "track" }, el("i", { class: tone || "", width: `${100 * count / most}%` })),
      el("b", {}, whole(count)),
    ])));
  total.textContent = rows.length ? whole(rows.reduce((s, [, count]) => s + count, 0)) : "";
}

const sorted = table => Object.entries(table).sort((a, b) => b[1] - a[1]);

function chip(reason) {
  const up = reason.contribution > 0;
  return el("span", { class: `chip ${up ? "up" : "down"}`, title: reason.meaning },
    el("span", {}, reason.feature.replaceAll("_", " ")), el("b", {}, reason.amount),
    el("em", {}, `${up ? "+" : "−"}${Math.abs(reason.contribution).toFixed(2)}`));
}

function drawCustomers(d) {
  const w = d.warehouse;
  $("snapshot").textContent = w.snapshot ? `from ${w.snapshot}, ${span(w.age_s)} old` : w.problem || "";
  const rows = d.customers.map(c => {
    const band = BANDS.includes(c.band) ? c.band : "left";
    return el("tr", {},
      el("td", { title: c.customer_id }, c.customer_id),
      el("td", {}, el("div", { class: "probability" }, el("b", {}, percent(c.probability)),
        el("span", { class: "track" }, el("i", { class: band, width: `${100 * c.probability}%` })))),
      el("td", {}, el("span", { class: `band ${band}` }, c.band)),
      el("td", {}, el("div", { class: "chips" }, ...c.reasons.map(chip))));
  });
  const none = el("tr", {}, el("td", { colspan: 4, class: "quiet" }, "no scores in a snapshot yet"));
  document.querySelector("#customers tbody").replaceChildren(...(rows.length ? rows : [none]));
}

// --- charts
const charts = {};
function makeCharts() {
  charts.events = new Chart($("chart-events"), { format: short, least: 10 });
  charts.lag = new Chart($("chart-lag"), { format: short, least: 10 });
  charts.loss = new Chart($("chart-loss"), { format: v => v.toFixed(2), zero: false, least: 0.05 });
  charts.auc = new Chart($("chart-auc"), { format: v => v.toFixed(3), zero: false, least: 0.05, dates: true });
  charts.realised = new Chart($("chart-realised"), { format: v => v.toFixed(3), zero: false, least: 0.05, dates: true });
  charts.ece = new Chart($("chart-ece"), { format: v => v.toFixed(3), least: 0.02, dates: true });
  charts.reliability = new Reliability($("chart-reliability"));
  charts.deliveries = new Chart($("chart-deliveries"), { format: short, least: 1 });
}

function remember(fresh) {
  const size = past.t.length, added = fresh.t.length;
  for (const name of new Set([...Object.keys(past), ...Object.keys(fresh)])) {
    const before = past[name] || Array(size).fill(null);
    past[name] = before.concat(fresh[name] || Array(added).fill(null)).slice(-KEEP);
  }
}

// What went well first, so that it keeps its color whatever else happens.
const byOutcome = (a, b) => b.endsWith(".delivered") - a.endsWith(".delivered") || a.localeCompare(b);

function drawCharts() {
  const column = name => past[name] || [];
  const one = (label, name) => [{ label, color: COLORS[0], values: column(name) }];
  charts.events.show(past.t, one("events/s", "events_per_s"));
  charts.lag.show(past.t, one("records behind", "lag"));
  charts.loss.show(past.t, JUDGES.map(([who, label], i) => ({ label, color: COLORS[i], values: column(`log_loss.${who}`) })));
  const outcomes = Object.keys(past).filter(name => name.startsWith("delivered.")).sort(byOutcome).slice(0, COLORS.length);
  charts.deliveries.show(past.t, outcomes.map((name, i) =>
    ({ label: name.slice("delivered.".length).replaceAll("_", " "), color: COLORS[i], values: column(name) })));
}

// --- the loop
function draw(d) {
  drawRoles(d.roles);
  drawTiles(d);
  drawModel(d.model);
  drawLeague(d.league);
  drawWindows(d.quality);
  drawQuality(d.quality);
  bars($("bands"), BANDS.filter(b => d.bands[b]).map(b => [b, d.bands[b], b]), $("band-total"), "no scores yet");
  bars($("deliveries"), sorted(d.deliveries.parts), $("delivery-total"), d.destinations.state || "nothing sent yet");
  const closed = Object.entries(d.destinations.breakers).filter(([, state]) => state && state !== "closed");
  if (closed.length) $("delivery-total").textContent += closed.map(([name, state]) => ` · ${name}: breaker ${state.replace("_", " ")}`).join("");
  bars($("quarantine"), sorted(d.quarantine.parts), $("quarantine-total"), "no bad events");
  drawCustomers(d);
  drawCharts();
}

function drawFreshness() {
  const age_s = Date.now() / 1000 - offset_s - answeredAt, stale = age_s > STALE_S;
  $("fresh").classList.toggle("stale", stale);
  $("fresh").textContent = answeredAt === 0 ? "connecting…"
    : stale ? `no news for ${span(age_s)}: is ebbtide still running?` : `live, ${new Date(answeredAt * 1000).toLocaleTimeString()}`;
}

async function poll() {
  try {
    const answer = await fetch(`/api/overview?after=${past.t.at(-1) ?? 0}`, { signal: AbortSignal.timeout(10000) });
    if (answer.ok) {
      const data = await answer.json();
      offset_s = answeredAt === 0 ? Date.now() / 1000 - data.now : offset_s;
      answeredAt = data.now;
      remember(data.history);
      draw(data);
    }
  } catch (error) {
    console.warn("no overview:", error);
  }
  drawFreshness();
  setTimeout(poll, EVERY_MS);
}

makeCharts();
poll();
