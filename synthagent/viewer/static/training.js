// A training run: curves, held-out tables, and the episodes of a step.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { amend, html, link, Loading, number, Problem, useAnswer, visible } from "./base.js";

const FIRST = ["played.reward", "played.gate_violations", "played.refusals_legal", "played.unscored", "kl", "entropy", "logprob_gap", "loss", "played.turns", "played.written"];

export function TrainingPage({ name, query }) {
  const { value, error } = useAnswer(`/api/training/${encodeURIComponent(name)}`);
  if (error) return html`<a class="up" href="#/runs">Runs</a><${Problem} text=${error} />`;
  if (!value) return html`<${Loading} />`;
  const { steps, series, heldout, about } = value;
  const names = [...FIRST.filter((one) => series[one]), ...Object.keys(series).filter((one) => !FIRST.includes(one))];
  const choose = (step) => amend({ step: String(step) });
  return html`
    <div class="bar"><a class="up" href="#/runs">Runs</a><h1>Training ${visible(name)}</h1>
      <span class="dim">${about.trainer}, step ${number(about.done)} of ${number(about.steps)}</span></div>
    <p class="dim">${visible(about.command)}</p>
    <div class="bar"><label>episodes of step <select value=${query.step ?? ""} onChange=${(event) => choose(event.currentTarget.value)}>
      <option value="">none</option>${steps.map((step) => html`<option value=${step} selected=${String(step) === query.step}>${step}</option>`)}</select></label>
      <span class="dim">or click on a curve</span></div>
    ${query.step ? html`<${Tries} name=${name} step=${query.step} />` : null}
    ${steps.length ? html`<div class="curves">${names.map((one) => html`<${Curve} key=${one} name=${one} steps=${steps} values=${series[one]} onStep=${choose} />`)}</div>` : html`<p class="dim">No step is done yet.</p>`}
    ${heldout.length ? html`<h2>Held-out tasks</h2>
      <table><thead><tr><th scope="col">set</th><th scope="col" class="num">step</th><th scope="col" class="num">episodes</th><th scope="col" class="num">scored</th><th scope="col" class="num">mean reward</th><th scope="col" class="num">rules kept</th></tr></thead>
      <tbody>${heldout.map((row) => html`<tr><td>${visible(row.group)}</td><td class="num">${row.step}</td><td class="num">${row.episodes}</td><td class="num">${row.scored}</td><td class="num">${number(row.reward, 3)}</td><td class="num">${number(row.gate, 3)}</td></tr>`)}</tbody></table>` : null}`;
}

function Curve({ name, steps, values, onStep }) {
  const box = useRef(null);
  useEffect(() => {
    const ink = getComputedStyle(document.documentElement);
    const color = (word) => ink.getPropertyValue(word).trim();
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line") }, ticks: { stroke: color("--line") } };
    const plot = new uPlot({
      width: Math.max(280, box.current.clientWidth), height: 170, legend: { show: true }, scales: { x: { time: false } },
      axes: [{ ...axis, size: 32, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }, { ...axis, size: 60 }],
      series: [{ label: "step" }, { label: name, stroke: color("--accent"), width: 1.5, points: { show: steps.length < 60 } }],
    }, [steps, values], box.current);
    const clicked = () => plot.cursor.idx !== null && plot.cursor.idx !== undefined && onStep(steps[plot.cursor.idx]);
    plot.over.addEventListener("click", clicked);
    const home = box.current;
    const resized = new ResizeObserver(() => plot.setSize({ width: Math.max(280, home.clientWidth), height: 170 }));
    resized.observe(home);
    return () => { resized.disconnect(); plot.destroy(); };
  }, [name, steps, values]);
  const known = values.filter((value) => value !== null);
  return html`<figure><figcaption>${visible(name)} <span class="dim">first ${number(known[0], 3)}, last ${number(known.at(-1), 3)}</span></figcaption><div ref=${box}></div></figure>`;
}

function Tries({ name, step }) {
  const { value, error } = useAnswer(`/api/training/${encodeURIComponent(name)}/${encodeURIComponent(step)}`);
  if (error) return html`<${Problem} text=${error} />`;
  if (!value) return html`<${Loading} />`;
  if (!value.rows.length) return html`<p class="dim">The episodes of this step were not kept.</p>`;
  return html`<h2>Episodes of step ${step}</h2>
    <table><thead><tr><th scope="col">task</th><th scope="col">try</th><th scope="col">stop</th><th scope="col" class="num">reward</th><th scope="col">blame</th><th scope="col" class="num">turns</th><th scope="col" class="num">tokens</th></tr></thead>
    <tbody>${value.rows.map((row) => html`<tr><td><a href=${link(["try", name, step, row.place])}>${row.task_id}</a></td><td>${row.sample}</td><td>${row.stop}</td><td class="num">${number(row.reward, 3)}</td><td>${row.blame ?? "–"}</td><td class="num">${row.turns}</td><td class="num">${number(row.completion_tokens)}</td></tr>`)}</tbody></table>`;
}
