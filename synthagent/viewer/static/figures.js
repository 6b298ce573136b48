// The figures of a run, and of two runs side by side.
import { Fold, go, html, link, Loading, number, Problem, useAnswer, visible } from "./base.js";

export const money = (usd) => usd === null || usd === undefined ? "–" : `$${usd < 0.1 ? usd.toFixed(4) : usd.toFixed(2)}`;
const share = (value) => `${(100 * value).toFixed(1)} %`;
const signed = (value, digits = 3) => value === null || value === undefined ? "–" : `${value > 0 ? "+" : value < 0 ? "−" : "±"}${Math.abs(value).toFixed(digits)}`;
const between = (low, high, tell) => low === null || low === undefined ? "too few families" : `${tell(low)} to ${tell(high)}`;

/** A mean with its interval on a line from `from` to `to`; what lies beyond is cut off. */
export function Interval({ mean, low, high, from = 0, to = 1 }) {
  if (mean === null || mean === undefined) return null;
  const at = (value) => 4 + 112 * (Math.min(Math.max(value, from), to) - from) / (to - from);
  return html`<svg class="interval" width="120" height="16" viewBox="0 0 120 16" aria-hidden="true">
    <line class="axis" x1="4" x2="116" y1="8" y2="8" />${from < 0 && to > 0 ? html`<line class="axis" x1=${at(0)} x2=${at(0)} y1="1" y2="15" />` : null}
    ${low === null || low === undefined ? null : html`<line class="whisker" x1=${at(low)} x2=${at(high)} y1="8" y2="8" />`}<circle cx=${at(mean)} cy="8" r="3.5" /></svg>`;
}

export function Agents({ agents }) {
  return html`<table class="fit"><thead><tr><th scope="col">agent</th><th scope="col" class="num">episodes</th><th scope="col" class="num">mean reward</th><th scope="col">95 % interval</th>
      <th scope="col"><span class="unseen">picture</span></th><th scope="col" class="num">rules broken</th><th scope="col" class="num">sub-goals</th><th scope="col" class="num">interactions</th><th scope="col" class="num">unscored</th>
      <th scope="col" class="num">tokens read</th><th scope="col" class="num">written</th><th scope="col" class="num">cost</th><th scope="col" class="num">seconds</th></tr></thead>
    <tbody>${agents.map((one) => html`<tr key=${one.agent}><th scope="row" class="free">${visible(one.agent)}</th><td class="num">${number(one.episodes)}</td><td class="num">${number(one.reward_mean, 3)}</td>
      <td class="num">${one.reward_mean === null ? "–" : between(one.reward_low, one.reward_high, (value) => value.toFixed(3))}</td><td><${Interval} mean=${one.reward_mean} low=${one.reward_low} high=${one.reward_high} /></td>
      <td class="num">${number(one.gate_violations)}</td><td class="num">${number(one.subgoals_mean)}</td><td class="num">${number(one.interactions_mean)}</td><td class="num">${number(one.unscored)}</td>
      <td class="num">${number(one.prompt_tokens)}</td><td class="num">${number(one.completion_tokens)}</td><td class="num">${money(one.usd)}</td><td class="num">${number(one.seconds, 1)}</td></tr>`)}</tbody></table>`;
}

/** What a run came to, on its own page. */
export function RunFigures({ run, others }) {
  if (!run.agents?.length || typeof run.agents[0] === "string") return null;
  return html`<${Fold} name="run/figures" open title=${html`<strong>Figures</strong> <span class="dim">rewards with intervals clustered by family, causes of lost reward</span>`}>
    <div class="wide" tabindex="0" role="region" aria-label="Figures by agent"><${Agents} agents=${run.agents} /></div>
    <${Fold} name="run/blames" title=${`causes of lost reward (${run.blames.length})`}>
      <table class="fit"><thead><tr><th scope="col">agent</th><th scope="col">outcome</th><th scope="col">blame</th><th scope="col">reason</th><th scope="col" class="num">episodes</th><th scope="col" class="num">share</th></tr></thead>
      <tbody>${run.blames.map((one) => html`<tr><td class="free">${visible(one.agent)}</td><td>${one.outcome}</td><td>${one.blame}</td><td class="free">${visible(one.reason)}</td><td class="num">${number(one.count)}</td><td class="num">${share(one.share)}</td></tr>`)}</tbody></table><//>
    <div class="bar"><${Against} name=${run.name} others=${others} /><a href=${`/export/${encodeURIComponent(run.name)}/report.html`} download="report.html">save as one file</a></div><//>`;
}

function Against({ name, others }) {
  if (!others.length) return null;
  return html`<label>compare with <select aria-label="compare with" value="" onChange=${(event) => event.currentTarget.value && go(["versus"], { left: event.currentTarget.value, right: name })}>
    <option value="">another run</option>${others.map((one) => html`<option value=${one}>${visible(one)}</option>`)}</select></label>`;
}

export function VersusPage({ query }) {
  const { value, error } = useAnswer("/api/versus", { left: query.left, right: query.right });
  if (error) return html`<a class="up" href="#/runs">Runs</a><${Problem} text=${error} />`;
  if (!value) return html`<${Loading} />`;
  const { left, right, pairs, blames, tasks } = value;
  const words = new URLSearchParams({ other: left.name });
  return html`
    <div class="bar"><a class="up" href="#/runs">Runs</a><h1>Two runs</h1>
      <span>left <a href=${link(["run", left.name])}>${visible(left.name)}</a>, right <a href=${link(["run", right.name])}>${visible(right.name)}</a></span>
      <span class="dim">${number(value.shared)} tasks in both</span>
      <a href=${link(["versus"], { left: right.name, right: left.name })}>swap</a>
      <a href=${`/export/${encodeURIComponent(right.name)}/report.html?${words}`} download="report.html">save as one file</a></div>
    <div class="pane wide" tabindex="0" role="region" aria-label="Two runs compared">
      <h2>The right run's reward less the left one's, paired by task</h2>
      ${pairs.length ? html`<table class="fit"><thead><tr><th scope="col">left agent</th><th scope="col">right agent</th><th scope="col" class="num">tasks</th><th scope="col" class="num">families</th><th scope="col" class="num">difference</th><th scope="col">95 % interval</th><th scope="col"><span class="unseen">picture</span></th><th scope="col" class="num">smallest that would be seen</th></tr></thead>
        <tbody>${pairs.map((pair) => html`<${Pair} pair=${pair} />`)}</tbody></table>` : html`<p class="dim">No agent of the one run pairs with one of the other: they pair by name, or where a run has but one agent.</p>`}
      ${[["left", left], ["right", right]].map(([side, run]) => html`<h2>${side}: ${visible(run.name)} ${run.live ? html`<span class="chip good">going on</span>` : null}</h2>
        <p class="dim">${number(run.episodes)} of ${number(run.wanted)} episodes, user ${visible(run.user)}, judge ${visible(run.judge ?? "none")}, seed ${run.seed}, protocol ${run.protocol}</p><${Agents} agents=${run.agents} />`)}
      <h2>Causes of lost reward</h2>
      ${blames.length ? html`<table class="fit"><thead><tr><th scope="col">right agent</th><th scope="col">outcome</th><th scope="col">blame</th><th scope="col">reason</th><th scope="col" class="num">left</th><th scope="col" class="num">right</th><th scope="col" class="num">change</th></tr></thead>
        <tbody>${blames.map((one) => html`<tr><td class="free">${visible(one.agent)}</td><td>${one.outcome}</td><td>${one.blame}</td><td class="free">${visible(one.reason)}</td>
          <${Share} count=${one.left} part=${one.left_share} /><${Share} count=${one.right} part=${one.right_share} /><${Change} from=${one.left_share} to=${one.right_share} /></tr>`)}</tbody></table>` : html`<p class="dim">No zeros, and nothing unscored.</p>`}
      <h2>Tasks on which they differ most</h2>
      ${tasks.length ? html`<table><thead><tr><th scope="col">task</th><th scope="col">domain</th><th scope="col" class="name">agents</th><th scope="col" class="num">left</th><th scope="col" class="num">right</th><th scope="col" class="num">difference</th><th scope="col">compare</th><th scope="col">instruction</th></tr></thead>
        <tbody>${tasks.map((one) => html`<${Differing} one=${one} left=${left.name} right=${right.name} />`)}</tbody></table>
        ${value.more ? html`<p class="dim">and ${number(value.more)} more</p>` : null}` : html`<p class="dim">They differ on no task.</p>`}
    </div>`;
}

function Share({ count, part }) {
  return html`<td class="num">${count === null ? html`<span class="dim">not played</span>` : html`${number(count)} <span class="dim">${share(part)}</span>`}</td>`;
}

function Change({ from, to }) {
  if (from === null || to === null) return html`<td class="num dim">–</td>`;
  return html`<td class=${`num ${to < from ? "good" : to > from ? "bad" : "dim"}`}>${signed(100 * (to - from), 1)} %</td>`;
}

function Pair({ pair }) {
  const found = pair.difference;
  const told = found && found.low !== null && (found.low > 0 ? "good" : found.high < 0 ? "bad" : "");
  return html`<tr><td class="free">${visible(pair.left)}</td><td class="free">${visible(pair.right)}</td>${found === null ? html`<td colspan="6" class="dim">no task has a reward in both</td>` : html`
    <td class="num">${number(found.tasks)}</td><td class="num">${number(found.families)}</td><td class=${`num ${told}`}><strong>${signed(found.difference)}</strong></td>
    <td class="num">${found.difference === null ? "–" : between(found.low, found.high, (value) => signed(value))}</td><td><${Interval} mean=${found.difference} low=${found.low} high=${found.high} from=${-1} to=${1} /></td><td class="num">${number(found.detectable, 3)}</td>`}</tr>`;
}

function Differing({ one, left, right }) {
  const side = (run, found) => [run, found.agent, found.task_id, found.sample].join("|");
  const agents = one.left.agent === one.right.agent ? one.left.agent : `${one.left.agent}, ${one.right.agent}`;
  return html`<tr><td><a href=${link(["task", right, one.right.task_id])}>${one.right.task_id}</a></td><td>${visible(one.domain ?? "–")}</td><td class="free">${visible(agents)}</td>
    <td class="num">${number(one.left_mean, 3)}</td><td class="num">${number(one.right_mean, 3)}</td><td class=${`num ${one.difference > 0 ? "good" : "bad"}`}>${signed(one.difference)}</td>
    <td><a href=${link(["compare"], { left: side(left, one.left), right: side(right, one.right) })} aria-label=${`compare episodes of task ${one.right.task_id}`}>compare</a></td><td class="free dim" dir="auto">${visible(one.instruction.length > 160 ? `${one.instruction.slice(0, 160)}…` : one.instruction)}</td></tr>`;
}
