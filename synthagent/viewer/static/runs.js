// Runs: the list of them, and one with its episodes.
import { useEffect, useState } from "preact/hooks";
import { amend, ask, go, html, link, Loading, number, Problem, useAnswer, useKeys, visible } from "./base.js";
import { money, RunFigures } from "./figures.js";
import { Rows, usePages } from "./lists.js";

export function Blame({ shares }) {
  const found = Object.entries(shares ?? {});
  return found.length ? found.map(([who, count]) => html`<span class="chip">${who} ${count}</span> `) : "–";
}

export function RunsPage({ library, news }) {
  return library ? html`<${Listed} library=${library} news=${news} />` : html`<${Loading} />`;
}

function Listed({ library, news }) {
  const runs = library.runs.map((run) => ({ ...run, ...(news[run.name] ?? {}) }));
  const [marked, setMarked] = useState(null);
  const mark = (name) => {
    if (marked === null) setMarked(name);
    else if (marked === name) setMarked(null);
    else go(["versus"], { left: marked, right: name });
  };
  return html`
    <h1>Runs</h1>
    ${runs.length === 0 ? html`<p class="dim">No run was opened.</p>` : html`
    <table>
      <thead><tr><th scope="col">run</th><th scope="col">agents</th><th scope="col">user</th><th scope="col">judge</th>
        <th scope="col" class="num">episodes</th><th scope="col" class="num">mean reward</th><th scope="col" class="num">unscored</th>
        <th scope="col">blame</th><th scope="col" class="num">tokens written</th><th scope="col" class="num">seconds</th>${runs.length > 1 ? html`<th scope="col">compare</th>` : null}</tr></thead>
      <tbody>${runs.map((run) => run.error ? html`
        <tr><td>${run.name}</td><td colspan="10"><${Problem} text=${run.error} /></td></tr>` : html`
        <tr><td><a href=${link(["run", run.name])}>${visible(run.name)}</a>${run.live ? html` <span class="chip good">going on</span>` : null}</td>
          <td class="free">${visible(run.agents.join(", "))}</td><td>${visible(run.user)}</td><td>${visible(run.judge ?? "–")}</td>
          <td class="num">${number(run.episodes)} of ${number(run.wanted)}</td><td class="num">${number(run.reward, 3)}</td>
          <td class="num">${number(run.unscored ?? 0)}</td><td><${Blame} shares=${run.blame} /></td>
          <td class="num">${number(run.completion_tokens)}</td><td class="num">${number(run.seconds, 1)}</td>
          ${runs.length > 1 ? html`<td><button type="button" aria-pressed=${marked === run.name} aria-label=${marked === null || marked === run.name ? `mark ${run.name}` : `compare ${marked} with ${run.name}`} onClick=${() => mark(run.name)}>${marked === null ? "mark" : marked === run.name ? "marked" : "compare"}</button></td>` : null}</tr>`)}
      </tbody>
    </table>`}
    ${library.training.length ? html`
    <h2>Training</h2>
    <table>
      <thead><tr><th scope="col">run</th><th scope="col">trainer</th><th scope="col">policy</th><th scope="col" class="num">steps</th></tr></thead>
      <tbody>${library.training.map((one) => html`
        <tr><td><a href=${link(["training", one.name])}>${visible(one.name)}</a></td>
          ${one.error ? html`<td colspan="3"><${Problem} text=${one.error} /></td>` : html`
          <td>${one.trainer}</td><td>${visible(one.policy)}</td><td class="num">${number(one.done)} of ${number(one.steps)}</td>`}</tr>`)}
      </tbody>
    </table>` : null}
    ${library.tasks.length ? html`
    <h2>Task files</h2>
    <ul>${library.tasks.map((one) => html`<li><a href=${link(["tasks", one.name])}>${visible(one.name)}</a> ${one.error ? html`<${Problem} text=${one.error} />` : `${number(one.tasks)} tasks`}</li>`)}</ul>` : null}`;
}

const FILTERS = ["agent", "domain", "stop", "blame", "legal"];
const SORTS = [["played", "as played"], ["reward", "lowest reward"], ["-reward", "highest reward"], ["-turns", "most turns"], ["-tokens", "most tokens"], ["-seconds", "slowest"], ["task", "task"]];

export function Facet({ name, values, chosen, onChange }) {
  return html`<label>${name}
    <select aria-label=${name} value=${chosen ?? ""} onChange=${(event) => onChange(event.currentTarget.value)}>
      <option value="">any</option>
      ${Object.entries(values ?? {}).map(([value, count]) => html`<option value=${value} selected=${value === chosen}>${visible(value)} (${count})</option>`)}
    </select></label>`;
}

export function Search({ value, onChange, label }) {
  const [text, setText] = useState(value ?? "");
  useEffect(() => {
    const timer = setTimeout(() => text !== (value ?? "") && onChange(text), 150);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<label>${label} <input type="search" value=${text} onInput=${(event) => setText(event.currentTarget.value)} /></label>`;
}

export function RunPage({ name, query, news, library }) {
  const about = useAnswer(`/api/runs/${encodeURIComponent(name)}`, {}, news?.episodes ?? "");
  const { at, ...filters } = query;
  const key = JSON.stringify([name, filters, news?.episodes ?? 0]);
  const path = `/api/runs/${encodeURIComponent(name)}/episodes`;
  const pages = usePages((offset, limit) => ask(path, { ...filters, offset, limit }), key);
  const [marked, setMarked] = useState([]);
  const chosen = at ? Number(at) : 0;
  const row = pages.rows.get(chosen);
  const open = (index) => {
    const one = pages.rows.get(index);
    if (one) go(["episode", name, one.agent, one.task_id, one.sample]);
  };
  const mark = () => {
    if (!row) return;
    const id = [name, row.agent, row.task_id, row.sample].join("|");
    const next = marked.includes(id) ? marked.filter((one) => one !== id) : [...marked, id];
    if (next.length === 2) go(["compare"], { left: next[0], right: next[1] });
    else setMarked(next);
  };
  useKeys({ x: mark });
  const set = (change) => amend({ at: null, ...change });
  // The news know how far a run is; its figures by agent come with the page.
  const run = { ...(about.value ?? {}), ...(news ?? {}), agents: about.value?.agents };
  const others = (library?.runs ?? []).map((one) => one.name).filter((one) => one !== name);
  return html`
    <div class="bar"><a class="up" href="#/runs">Runs</a> <h1>${visible(name)}</h1>
      ${run.live ? html`<span class="chip good">going on</span>` : null}
      <span class="dim">${number(run.episodes)} of ${number(run.wanted)} episodes, mean reward ${number(run.reward, 3)}, unscored ${number(run.unscored ?? 0)}, blame <${Blame} shares=${run.blame} />${run.usd === null || run.usd === undefined ? null : html` cost ${money(run.usd)}`}</span>
      <a href=${link(["tasks", name])}>its tasks</a></div>
    ${about.error ? html`<${Problem} text=${about.error} />` : null}
    <${RunFigures} run=${run} others=${others} />
    <div class="bar" role="search">
      <${Search} label="search" value=${query.q} onChange=${(q) => set({ q })} />
      ${FILTERS.map((facet) => html`<${Facet} name=${facet} values=${about.value?.facets?.[facet]} chosen=${query[facet]} onChange=${(value) => set({ [facet]: value })} />`)}
      <label>sort <select value=${query.sort ?? "played"} onChange=${(event) => set({ sort: event.currentTarget.value })}>
        ${SORTS.map(([value, word]) => html`<option value=${value} selected=${value === (query.sort ?? "played")}>${word}</option>`)}</select></label>
      <button type="button" onClick=${mark} disabled=${!row}>${marked.length ? "Compare with the marked one" : "Mark to compare"} (x)</button>
      <span class="dim" role="status">${pages.total === null ? "…" : `${number(pages.total)} found`}</span>
    </div>
    ${pages.error ? html`<${Problem} text=${pages.error} />` : null}
    <div class="split one episodes-box episodes">
      <${Rows} label="Episodes" count=${pages.total ?? 0} height=${32} chosen=${chosen} onChoose=${(index) => amend({ at: String(index) })}
        onOpen=${open} onRange=${pages.range}
        head=${["agent", "task", "try", "domain", "stop", "reward", "blame", "turns", "tokens", "seconds"].map((word) => html`<span role="columnheader">${word}</span>`)}
        row=${(index) => html`<${EpisodeRow} one=${pages.rows.get(index)} run=${name} marked=${marked} />`} />
    </div>`;
}

function EpisodeRow({ one, run, marked }) {
  if (!one) return html`<span role="gridcell" class="dim">…</span>`;
  const id = [run, one.agent, one.task_id, one.sample].join("|");
  const cells = [
    html`<a href=${link(["episode", run, one.agent, one.task_id, one.sample])} tabindex="-1">${marked.includes(id) ? "✓ " : ""}${visible(one.agent)}</a>`,
    one.task_id, one.sample, visible(one.domain || "–"), one.stop,
    html`<span class=${one.reward === null ? "dim" : one.reward > 0.999 ? "good" : one.reward === 0 ? "bad" : ""}>${number(one.reward, 3)}</span>`,
    one.blame ?? one.unscored_blame ?? "–", one.turns, number(one.completion_tokens), number(one.seconds, 1),
  ];
  return cells.map((cell) => html`<span role="gridcell">${cell}</span>`);
}
