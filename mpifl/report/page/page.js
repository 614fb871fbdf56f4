"use strict";

// What was packed with gzip and base64, as text.
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ---- Colours: "@blue", or "@blue/0.2" with an opacity, are those of the page's style sheet.

function colour(name) {
  const [variable, opacity] = name.slice(1).split("/");
  const style = getComputedStyle(document.documentElement);
  if (variable === "scale") return [[0, style.getPropertyValue("--scale-low").trim()], [1, style.getPropertyValue("--scale-high").trim()]];
  const hex = style.getPropertyValue(`--${variable}`).trim();
  if (opacity === undefined) return hex;
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));
  return `rgba(${red}, ${green}, ${blue}, ${opacity})`;
}

const IS_COLOUR = new Set(["color", "fillcolor", "colorscale"]);

// A copy of a trace with its arrays and colours in their places.
function filled(value, arrays, key = "") {
  if (Array.isArray(value)) return value.map((item) => filled(item, arrays));
  if (value === null || typeof value !== "object") return IS_COLOUR.has(key) && String(value).startsWith("@") ? colour(value) : value;
  if ("#" in value) return arrays[value["#"]];
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, filled(item, arrays, name)]));
}

function traceOf(trace, arrays) {
  const own = filled(trace, arrays);
  if (own.customdata) {
    const columns = own.customdata;
    own.customdata = columns[0].map((_, place) => columns.map((column) => column[place]));
  }
  return own;
}

function layoutOf(panel, plot) {
  const ink = colour("@ink"), grid = colour("@grid"), narrow = plot.clientWidth < 560;
  const axis = (own) => ({
    automargin: true, gridcolor: grid, linecolor: colour("@edge"), zerolinecolor: grid, ticks: "outside",
    tickcolor: colour("@edge"), ...own, title: { ...own.title, standoff: 10 },
  });
  return {
    ...panel.layout, xaxis: axis(panel.layout.xaxis), yaxis: axis(panel.layout.yaxis),
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 13, color: ink },
    margin: { l: 50, r: 12, t: 8, b: 44 }, hovermode: "closest", dragmode: narrow ? false : "zoom",
    showlegend: panel.traces[0].type !== "heatmap", legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemsizing: "constant" },
    hoverlabel: { bgcolor: colour("@raised"), bordercolor: colour("@edge"), font: { color: ink } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("@faint"), activecolor: colour("@accent") },
  };
}

// Names of rows, such as those of experiments, need room for all their lines.
function leastHeight(axis) {
  if (!axis.ticktext || axis.autorange !== "reversed") return "";
  const lines = Math.max(...axis.ticktext.map((name) => name.split("<br>").length));
  return `${150 + axis.ticktext.length * (18 * lines + 4)}px`;
}

const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"], showTips: false };

// ---- One chart: its controls, its plot, its numbers.

class Shown {
  constructor(chart, arrays) {
    this.chart = chart;
    this.arrays = arrays;
    this.panel = chart.panels[0];
    this.figure = document.getElementById(`chart-${chart.name}`);
    this.plot = this.figure.querySelector(".plot");
    this.addControls();
    this.addKeys();
    const button = made("button", { type: "button" }, "Numbers as CSV");
    button.addEventListener("click", () => this.download());
    const reset = made("button", { type: "button" }, "Whole chart");
    reset.addEventListener("click", () => this.draw());
    this.figure.querySelector(".foot").append(reset, button);
  }

  draw() {
    const traces = this.panel.traces.map((trace) => traceOf(trace, this.arrays));
    const label = [this.chart.title, this.panel.part, this.chart.choice && `${this.chart.choice} ${this.panel.label}`];
    this.plot.style.minHeight = leastHeight(this.panel.layout.yaxis);
    this.plot.setAttribute("aria-label", `${label.filter(Boolean).join(", ")}. The numbers can be saved as CSV below.`);
    return Plotly.react(this.plot, traces, layoutOf(this.panel, this.plot), CONFIG);
  }

  show(panel) {
    this.panel = panel;
    return this.draw();
  }

  addControls() {
    const panels = this.chart.panels;
    if (panels.length < 2) return;
    const controls = this.figure.querySelector(".controls");
    const parts = [...new Set(panels.map((panel) => panel.part))];
    const within = made("span");
    const choose = (part) => {
      const own = panels.filter((panel) => panel.part === part);
      within.replaceChildren(...(own.length > 6 ? this.slider(own) : this.radios(own)));
    };
    if (parts.length > 1) {
      const select = made("select", {}, ...parts.map((part) => made("option", { value: part }, part)));
      select.addEventListener("change", () => {
        choose(select.value);
        this.show(panels.find((panel) => panel.part === select.value));
      });
      controls.append(made("label", {}, "run", select));
    }
    controls.append(within);
    choose(parts[0]);
  }

  radios(panels) {
    if (panels.length < 2) return [];
    const buttons = panels.map((panel, place) => {
      const button = made("input", { type: "radio", name: `choice-${this.chart.name}`, value: place });
      button.checked = place === 0;
      button.addEventListener("change", () => this.show(panel));
      return made("label", {}, button, panel.label);
    });
    return [made("fieldset", {}, made("legend", {}, this.chart.choice), ...buttons)];
  }

  slider(panels) {
    const range = made("input", { type: "range", min: 0, max: panels.length - 1, value: 0 });
    const select = made("select", {}, ...panels.map((panel, place) => made("option", { value: place }, panel.label)));
    const go = (place) => {
      range.value = place;
      select.value = place;
      range.setAttribute("aria-valuetext", `${this.chart.choice} ${panels[place].label}`);
      this.show(panels[place]);
    };
    range.addEventListener("input", () => go(Number(range.value)));
    select.addEventListener("change", () => go(Number(select.value)));
    range.setAttribute("aria-label", this.chart.choice);
    return [made("label", {}, this.chart.choice, select), " ", range];
  }

  // Arrow keys move the x axis, + and - zoom it, 0 shows all of it.
  addKeys() {
    this.plot.addEventListener("keydown", (event) => {
      const change = { ArrowLeft: [-0.1, -0.1], ArrowRight: [0.1, 0.1], "+": [0.1, -0.1], "-": [-0.125, 0.125] }[event.key];
      if (event.key === "0") this.draw();
      if (!change || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const [low, high] = this.plot._fullLayout.xaxis.range.map(Number);
      const width = high - low;
      Plotly.relayout(this.plot, { "xaxis.range": [low + change[0] * width, high + change[1] * width] });
    });
  }

  csv() {
    // A spreadsheet takes these for formulas, and names may come from anybody.
    const safe = (text) => (/^[=+\-@]/.test(text) ? `'${text}` : text);
    const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const columns = Object.keys(this.chart.headings);
    const lines = [["part", "panel", "series", ...Object.values(this.chart.headings)].map(quoted).join(",")];
    for (const panel of this.chart.panels) {
      for (const mark of panel.marks) {
        const own = columns.map((name) => (name in mark.columns ? this.arrays[mark.columns[name]["#"]] : null));
        const begin = [panel.part, panel.label, mark.name].map(safe).map(quoted).join(",");
        const length = own.find((column) => column !== null).length;
        for (let place = 0; place < length; place++) {
          lines.push(`${begin},${own.map((column) => (column === null ? "" : column[place] ?? "nan")).join(",")}`);
        }
      }
    }
    return `${lines.join("\n")}\n`;
  }

  download() {
    const url = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
    made("a", { href: url, download: `${this.chart.name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
}

// ---- Light and dark: as the system is, until the button is pressed; print is light.

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  button.setAttribute("aria-pressed", String(theme === "dark"));
}

async function main() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let theme = system.matches ? "dark" : "light";
  setTheme(theme);

  let charts = [];
  const change = (next) => {
    setTheme(next);
    for (const shown of charts) shown.draw();
  };
  system.addEventListener("change", () => change((theme = system.matches ? "dark" : "light")));
  document.getElementById("theme").addEventListener("click", () => change((theme = theme === "dark" ? "light" : "dark")));
  addEventListener("beforeprint", () => change("light"));
  addEventListener("afterprint", () => change(theme));

  const code = made("script");
  code.textContent = await unpacked("plotly");
  document.head.append(code);
  const packed = JSON.parse(await unpacked("charts"));
  for (const chart of packed.charts) {
    const shown = new Shown(chart, packed.arrays);
    charts.push(shown);
    await shown.draw();
    await new Promise((next) => setTimeout(next)); // the page stays usable meanwhile
  }
  document.documentElement.dataset.ready = "yes";
}

main().catch((error) => {
  const problem = document.getElementById("problem");
  problem.hidden = false;
  problem.textContent = `The charts could not be drawn (${error}). They need a browser of 2023 or later.`;
  console.error(error);
});
