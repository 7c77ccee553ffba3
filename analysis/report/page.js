"use strict";
// Gives the charts their rows, and does what the controls say. Sentences and tables stand in the page without it.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const { panels, rates } = read("records");
const specs = read("charts");
const CURVE = ["baseline", "shortened"]; // what freezing is set against: no filter takes it away
const chosen = { model: "", dataset: "", strategy: "" };
const hidden = panels.map(() => new Set()); // the series that a panel's legend has switched off
const traced = panels.map(() => 0); // the run that is looked at, by its place in `traces`
for (const { looks, pareto } of panels) {
  const styles = new Map(looks.map((look) => [look.series, look]));
  for (const run of pareto.runs) Object.assign(run, styles.get(run.series));
}
const views = new Map(); // figure -> promise of its Vega view

const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
const isOfStrategy = (row) => !chosen.strategy || row.strategy === chosen.strategy || CURVE.includes(row.strategy);
const shown = (i, rows) => rows.filter((row) => isOfStrategy(row) && !hidden[i].has(row.series));
const stageName = (trace, stage) => trace.stages[stage] ?? `stage ${stage}`;

// The rows of each chart by the names of its data; the first decide whether there is anything to draw.
const rowsOf = {
  pareto: (i) => ({
    points: shown(i, panels[i].pareto.points),
    curve: panels[i].pareto.curve,
    runs: shown(i, panels[i].pareto.runs),
  }),
  forest(i) {
    const { arms, margin } = panels[i].forest;
    const rows = shown(i, arms).filter((arm) => arm.difference !== null);
    for (const arm of rows) {
      arm.seeds = arm.diverged_seeds ? `${arm.n}, ${arm.diverged_seeds} diverged` : arm.n;
      arm.saving_words = percent(arm.saving);
    }
    return { arms: rows, margin: margin === null ? [] : [{ low: -margin, high: margin }], zero: [{ at: 0 }] };
  },
  steps: (i) => ({ steps: panels[i].steps }),
  savings(i) {
    const trace = panels[i].traces[traced[i]];
    return {
      events: trace.events.map((event) => ({
        name: Array.from({ length: event.last - event.first + 1 }, (_, k) => stageName(trace, event.first + k)).join(", "),
        saved: 100 * event.share,
        words: percent(event.share, 2),
        at: `t = ${event.t.toFixed(3)}`,
        change: `${event.before.toFixed(3)} → ${event.after.toFixed(3)} ms`,
      })),
    };
  },
  rates(i) {
    const trace = panels[i].traces[traced[i]];
    const curves = trace.rates === null ? { t: [], rates: [] } : rates[trace.rates];
    const rows = curves.rates.flatMap((values, stage) =>
      curves.t.map((t, k) => ({ stage, name: stageName(trace, stage), t, rate: values[k] })).filter((row) => row.rate !== null),
    );
    return { rates: rows };
  },
  timeline(i) {
    const trace = panels[i].traces[traced[i]];
    const rows = trace.froze.map((t, stage) => ({ stage, name: stageName(trace, stage), at: t }));
    const words = (row) => (row.at === null ? "trains to the end" : `frozen from t = ${row.at.toFixed(3)}`);
    return {
      active: rows.map((row) => ({ ...row, from: 0, to: row.at ?? 1, words: words(row) })),
      frozen: rows.filter((row) => row.at !== null).map((row) => ({ ...row, from: row.at, to: 1, words: words(row) })),
    };
  },
};

const panelOf = (element) => Number(element.closest("[data-panel]").dataset.panel);

// Draws a figure, or gives the one that is drawn its rows anew; the page says how many are at work.
let busy = 0;
async function draw(figure) {
  document.body.dataset.busy = ++busy;
  try {
    await drawRows(figure);
  } finally {
    document.body.dataset.busy = --busy;
  }
}

async function drawRows(figure) {
  const i = panelOf(figure);
  const kind = figure.dataset.chart;
  const rows = rowsOf[kind](i);
  const isEmpty = Object.values(rows)[0].length === 0;
  const place = figure.querySelector(".chart");
  const note = figure.querySelector(".empty");
  note.hidden = !isEmpty;
  note.dataset.none ??= note.textContent;
  note.textContent = Object.values(panels[i][kind] ?? {})[0]?.length ? "All of its series are switched off." : note.dataset.none;
  place.hidden = isEmpty;
  if (isEmpty) return;
  if (views.has(figure)) {
    const view = await views.get(figure);
    for (const [name, values] of Object.entries(rows)) view.data(name, values);
    await view.height(heightOf(kind, rows)).runAsync();
  } else {
    views.set(figure, embed(place, kind, i, rows));
    await views.get(figure);
  }
}

// A chart with a row for each entry grows with them. (Vega-Lite complains of a step where the width fits the page.)
function heightOf(kind, rows) {
  const { height } = specs[kind];
  return height.step ? height.step * Object.values(rows)[0].length : height;
}

async function embed(place, kind, i, rows) {
  const spec = structuredClone(specs[kind]);
  const ends = panels[i][kind];
  for (const param of spec.params ?? []) {
    const [axis, end] = param.name.split("_");
    if (ends?.[axis]) param.value = ends[axis][end === "low" ? 0 : 1];
  }
  spec.datasets = rows;
  spec.height = heightOf(kind, rows);
  spec.description = place.closest("figure").querySelector("figcaption b").textContent;
  const tooltip = { disableDefaultStyle: true };
  const made = await vegaEmbed(place, spec, { renderer: "svg", actions: false, ast: true, tooltip });
  return made.view;
}

const redraw = (figures) => [...figures].filter((figure) => figure.dataset.wanted).forEach(draw);

// A symbol in a legend, as the charts draw it.
const SHAPES = {
  circle: "M-.9,0A.9,.9,0,1,1,.9,0A.9,.9,0,1,1,-.9,0Z",
  square: "M-.8,-.8H.8V.8H-.8Z",
  diamond: "M0,-1L.8,0L0,1L-.8,0Z",
  cross: "M-.3,-.9H.3V-.3H.9V.3H.3V.9H-.3V.3H-.9V-.3H-.3Z",
  "triangle-up": "M0,-.9L.95,.75H-.95Z",
  "triangle-down": "M0,.9L.95,-.75H-.95Z",
};
function symbol(look) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "-1 -1 2 2");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[look.symbol] ?? look.symbol);
  path.style.fill = look.colour === "#222222" ? "var(--ink)" : look.colour;
  svg.append(path);
  return svg;
}

function legend(section, i) {
  for (const look of panels[i].looks) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.strategy = look.strategy;
    button.setAttribute("aria-pressed", "true");
    button.append(symbol(look), look.series);
    button.addEventListener("click", () => {
      const isOff = hidden[i].delete(look.series);
      if (!isOff) hidden[i].add(look.series);
      button.setAttribute("aria-pressed", String(isOff));
      redraw(section.querySelectorAll("[data-chart=pareto], [data-chart=forest]"));
    });
    section.querySelector(".legend").append(button);
  }
  const kinds = new Map(panels[i].steps.map((row) => [row.kind, row]));
  const key = document.createElement("div");
  key.className = "kinds";
  for (const [kind, row] of kinds) {
    const entry = document.createElement("span");
    entry.append(symbol(row), kind);
    key.append(entry);
  }
  section.querySelector("[data-chart=steps] figcaption").append(key);
}

// The runs that may be chosen, those of a configuration together.
function runs(section, i) {
  const select = section.querySelector(".run");
  const groups = new Map();
  panels[i].traces.forEach((trace, k) => {
    if (!isOfStrategy(trace)) return;
    if (!groups.has(trace.configuration)) groups.set(trace.configuration, document.createElement("optgroup"));
    const group = groups.get(trace.configuration);
    group.label = trace.configuration;
    group.append(new Option(`${trace.configuration}, seed ${trace.seed}`, k));
  });
  select.replaceChildren(...groups.values());
  const kept = select.querySelector(`option[value="${traced[i]}"]`);
  const freezes = [...select.options].find((option) => panels[i].traces[option.value].events.length);
  select.value = (kept ?? freezes ?? select.options[0]).value;
  choose(section, i);
}

function choose(section, i) {
  traced[i] = Number(section.querySelector(".run").value);
  const trace = panels[i].traces[traced[i]];
  const saved = trace.events.reduce((sum, event) => sum + event.share, 0);
  const words = trace.events.length ? `; freezing saved ${percent(saved)} of its time` : "";
  section.querySelector(".trace").textContent = trace.words + words;
  redraw(section.querySelectorAll("[data-chart=rates], [data-chart=timeline], [data-chart=savings]"));
}

function filter() {
  let left = 0;
  for (const section of document.querySelectorAll(".panel")) {
    const i = panelOf(section);
    const { model, dataset, looks } = panels[i];
    const isIn =
      (!chosen.model || model === chosen.model) &&
      (!chosen.dataset || dataset === chosen.dataset) &&
      (!chosen.strategy || looks.some((look) => look.strategy === chosen.strategy));
    section.hidden = !isIn;
    for (const entry of document.querySelectorAll(`.overview [data-of="${i}"]`)) entry.hidden = !isIn;
    if (!isIn) continue;
    left += 1;
    for (const button of section.querySelectorAll(".legend button")) button.hidden = !isOfStrategy(button.dataset);
    runs(section, i);
    redraw(section.querySelectorAll("[data-chart=pareto], [data-chart=forest]"));
  }
  document.getElementById("nothing").hidden = left > 0;
  window.dispatchEvent(new Event("resize")); // charts that were hidden learn their width
}

for (const section of document.querySelectorAll(".panel")) {
  const i = panelOf(section);
  traced[i] = Math.max(0, panels[i].traces.findIndex((trace) => trace.events.length));
  legend(section, i);
  section.querySelector(".run").addEventListener("change", () => choose(section, i));
}
for (const name of Object.keys(chosen)) {
  document.getElementById(name).addEventListener("change", (event) => {
    chosen[name] = event.target.value;
    filter();
  });
}
filter();

// A chart is drawn when it comes near the screen: a page of many panels opens at once on a phone.
const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      want(target);
    }
  },
  { rootMargin: "600px" },
);
function want(figure) {
  if (figure.dataset.wanted) return;
  figure.dataset.wanted = "yes";
  draw(figure);
}
const figures = [...document.querySelectorAll("figure[data-chart]")];
figures.forEach((figure) => near.observe(figure));
window.addEventListener("beforeprint", () => figures.forEach(want));
