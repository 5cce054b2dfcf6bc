// What the pages do beyond links and forms: the theme's switch, and live charts. Everything else works without it.
// No names are written into markup here: figures come as JSON and leave as text.
(() => {
  "use strict";

  // ---- theme --------------------------------------------------------------------------------------------------------

  const root = document.documentElement;

  function chooseTheme(theme) {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      if (theme === "auto") localStorage.removeItem("weir-theme");
      else localStorage.setItem("weir-theme", theme);
    } catch {
      // No storage: the choice holds for this page.
    }
    dispatchEvent(new Event("weir:theme"));
  }

  const select = document.getElementById("theme");
  if (select) {
    select.value = root.dataset.theme ?? "auto";
    select.addEventListener("change", () => chooseTheme(select.value));
    select.closest(".theme").hidden = false;
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("weir:theme")));

  // ---- figures ------------------------------------------------------------------------------------------------------

  const UNITS = ["B/s", "KiB/s", "MiB/s", "GiB/s"];

  function bytesPerSecond(value) {
    if (value == null) return "–";
    let unit = 0;
    while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit += 1; }
    const digits = unit === 0 || value >= 100 ? 0 : 1;
    return `${value.toFixed(digits)}\u00a0${UNITS[unit]}`;
  }

  const cores = (value) => (value == null ? "–" : value.toFixed(3));

  const KINDS = {
    cpu: { series: [["CPU", "cpu_cores"]], show: cores, tick: (value) => String(+value.toFixed(3)) },
    disk: { series: [["read", "disk_read_bytes_s"], ["written", "disk_write_bytes_s"]], show: bytesPerSecond, tick: bytesPerSecond },
    network: { series: [["received", "net_rx_bytes_s"], ["sent", "net_tx_bytes_s"]], show: bytesPerSecond, tick: bytesPerSecond },
  };

  // Steps of an axis of bytes are powers of two, so that its labels are round.
  const BYTE_STEPS = Array.from({ length: 41 }, (_, power) => 2 ** power);
  const HEIGHT = 168;
  const DAY = 86400;

  // ---- instants, in the zone that the server names ------------------------------------------------------------------

  // Swedish writes instants as ISO 8601 does, like the rest of the page.
  const instant = (second, zone) => new Date(second * 1000).toLocaleString("sv-SE", { timeZone: zone });

  function tick(second, zone, step) {
    const [date, time] = instant(second, zone).split(" ");
    if (step >= DAY || time === "00:00:00") {
      return new Date(`${date}T00:00:00Z`).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
    }
    return step < 60 ? time : time.slice(0, 5);
  }

  // ---- charts -------------------------------------------------------------------------------------------------------

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  class Chart {
    constructor(figure) {
      this.kind = KINDS[figure.dataset.chart];
      this.plot = figure.querySelector(".plot");
      this.now = figure.querySelector(".now");
      this.when = figure.querySelector(".when");
      this.rows = figure.querySelector("tbody");
      new ResizeObserver(() => this.uplot?.setSize(this.size())).observe(this.plot);
    }

    size() {
      return { width: Math.max(200, this.plot.clientWidth), height: HEIGHT };
    }

    columns() {
      return this.kind.series.map(([, name]) => this.data[name]);
    }

    show(data) {
      this.data = data;
      this.uplot ??= new uPlot(this.options(), [data.at, ...this.columns()], this.plot);
      this.uplot.setData([data.at, ...this.columns()]);
      this.say(null);
      this.fillTable();
    }

    // A canvas does not follow the theme: it is drawn anew.
    repaint() {
      this.uplot?.destroy();
      this.uplot = null;
      if (this.data) this.show(this.data);
    }

    options() {
      const rule = colour("--rule");
      const axis = { stroke: colour("--quiet"), grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1, size: 4 }, font: "12px system-ui, sans-serif" };
      const curve = ([label], at) => ({
        label, width: 1.5, spanGaps: false, points: { show: false }, stroke: colour(at === 0 ? "--series-a" : "--series-b"),
        // The second curve is told apart without its colour, too.
        ...(at === 0 ? { fill: colour("--series-fill") } : { dash: [5, 3] }),
      });
      return {
        ...this.size(),
        tzDate: (second) => uPlot.tzDate(new Date(second * 1000), this.data.time_zone),
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, y: false, points: { size: 6 } },
        scales: {
          x: { range: () => [this.data.from, this.data.to] },
          y: { range: (_, _least, most) => [0, most > 0 ? most * 1.08 : 1] },
        },
        axes: [
          { ...axis, size: 30, space: 72, values: (_, at, _axis, _space, step) => at.map((second) => tick(second, this.data.time_zone, step)) },
          { ...axis, size: 74, space: 34, values: (_, at) => at.map(this.kind.tick), ...(this.kind.tick === bytesPerSecond ? { incrs: BYTE_STEPS } : {}) },
        ],
        series: [{}, ...this.kind.series.map(curve)],
        hooks: { setCursor: [(chart) => this.say(chart.cursor.idx)] },
      };
    }

    // The figures under the cursor, or the latest that there are.
    say(step) {
      const columns = this.columns();
      step ??= this.data.at.findLastIndex((_, at) => columns.some((column) => column[at] != null));
      if (step < 0) return;
      const parts = this.kind.series.flatMap(([label], at) => {
        const key = document.createElement("span");
        key.className = at === 0 ? "key" : "key b";
        return [key, `${label} ${this.kind.show(columns[at][step])}\u2002`];
      });
      this.now.replaceChildren(...parts);
      const at = instant(this.data.at[step], this.data.time_zone);
      this.when.textContent = this.data.to - this.data.from < DAY ? at.slice(11) : at.slice(0, 16);
    }

    // The table behind the chart: the same figures, the latest first, without the steps that nobody read.
    fillTable() {
      const columns = this.columns();
      const rows = this.data.at.map((second, step) => {
        const values = columns.map((column) => column[step]);
        if (values.every((value) => value == null)) return null;
        const row = document.createElement("tr");
        row.insertCell().textContent = instant(second, this.data.time_zone);
        for (const value of values) {
          const cell = row.insertCell();
          cell.className = "number";
          cell.textContent = this.kind.show(value);
        }
        return row;
      });
      const found = rows.filter(Boolean).reverse();
      // Where there is nothing, the server's row says so.
      if (found.length > 0) this.rows.replaceChildren(...found);
    }
  }

  function live(place) {
    const charts = [...place.querySelectorAll("[data-chart]")].map((figure) => new Chart(figure));
    const problem = document.getElementById("charts-problem");
    const say = (sentence) => {
      problem.textContent = sentence;
      problem.hidden = sentence === "";
    };
    let timer = 0;
    let pause = 15;
    async function refresh() {
      clearTimeout(timer);
      try {
        const answer = await fetch(place.dataset.charts, { headers: { Accept: "application/json" } });
        if (answer.status === 401) {
          say("You have been logged out. Load the page again to log in.");
          return;
        }
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        const data = await answer.json();
        pause = data.refresh_s;
        for (const chart of charts) chart.show(data);
        say("");
      } catch {
        say("The charts could not be brought up to date. They are tried again.");
      }
      timer = setTimeout(refresh, pause * 1000);
    }
    // Nobody looks: nothing is asked.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) clearTimeout(timer);
      else refresh();
    });
    addEventListener("weir:theme", () => charts.forEach((chart) => chart.repaint()));
    refresh();
  }

  const place = document.querySelector("[data-charts]");
  if (place && typeof uPlot === "function") live(place);
})();
