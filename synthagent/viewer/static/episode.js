// One episode: a timeline with lanes, the event that is chosen, and the reward with its proof.
import { useMemo } from "preact/hooks";
import { amend, Fold, Fragment, go, html, json, link, Loading, number, Problem, Said, setOut, useAnswer, useKept, useKeys, visible } from "./base.js";
import { Rows } from "./lists.js";
import { Exchange } from "./making.js";

const NUMBERS = ["read", "written", "seconds"];
const LANES = ["agent", "user", "tool", "form"];
const MOST_TURNS = 200;
const LANE_WORD = { agent: "agent", user: "user", tool: "tools", form: "malformed" };

export function EpisodePage({ run, agent, task, sample, training, step, place, query }) {
  const path = training ? `/api/training/${encodeURIComponent(training)}/${step}/${place}` : `/api/runs/${encodeURIComponent(run)}/episode`;
  const { value, error } = useAnswer(path, training ? {} : { agent, task, sample });
  const up = training ? link(["training", training], { step }) : link(["run", run]);
  if (error) return html`<a class="up" href=${up}>Back</a><${Problem} text=${error} />`;
  if (!value) return html`<${Loading} />`;
  return html`<${EpisodeView} found=${value} query=${query} up=${up} run=${run} />`;
}

/** An episode as the server tells it whole. `run`: where it is kept; without one there are no links to others. */
export function EpisodeView({ found, query = {}, up, run }) {
  const { episode, score, criteria, changes, task } = found;
  const [hidden, setHidden] = useKept("lanes-hidden", []);
  const shown = useMemo(() => episode.events.map((event, place) => place).filter((place) => !hidden.includes(episode.events[place].kind)), [episode, hidden]);
  const event = Math.min(query.event ? Number(query.event) : shown[0] ?? 0, episode.events.length - 1);
  const at = shown.indexOf(event);
  const choose = (place) => amend({ event: String(place) });
  const toggle = (lane) => setHidden(hidden.includes(lane) ? hidden.filter((one) => one !== lane) : [...hidden, lane]);
  const of = run ? { run, agent: episode.agent, task: episode.task_id, sample: episode.sample } : null;
  const tries = found.group ?? [];
  const mine = tries.findIndex((one) => one.agent === episode.agent && one.sample === episode.sample);
  const other = (by) => tries[mine + by] && go(["episode", run, tries[mine + by].agent, tries[mine + by].task_id, tries[mine + by].sample]);
  useKeys({ 1: () => toggle("agent"), 2: () => toggle("user"), 3: () => toggle("tool"), 4: () => toggle("form"), "[": () => other(-1), "]": () => other(1) });
  return html`
    <div class="bar">${up ? html`<a class="up" href=${up}>${run ? visible(run) : "Back"}</a>` : null}
      <h1>${visible(episode.agent)} on task ${episode.task_id}, try ${episode.sample}</h1>
      ${run ? html`<a href=${link(["task", run, episode.task_id])}>the task</a>
      <a href=${`/export/${encodeURIComponent(run)}/episode.html?${new URLSearchParams({ agent: episode.agent, task: episode.task_id, sample: episode.sample })}`} download="episode.html">save as one file</a>` : null}</div>
    <${Worth} score=${score} episode=${episode} />
    ${episode.failure ? html`<${Problem} text=${`${episode.failure.blame}: ${episode.failure.reason}. ${episode.failure.detail}`} />` : null}
    <div class="bar">${LANES.map((lane, place) => html`
      <button type="button" aria-pressed=${!hidden.includes(lane)} onClick=${() => toggle(lane)} class=${`lane-${lane}`}>${hidden.includes(lane) ? "○" : "●"} ${LANE_WORD[lane]} (${place + 1})</button>`)}
      <span class="dim">${shown.length} of ${episode.events.length} events</span></div>
    <div class="split">
      <div class="timeline">
        <${Rows} label="Events" count=${shown.length} height=${30} chosen=${at} onChoose=${(index) => choose(shown[index])}
          head=${["no.", "lane", "what", "read", "written", "seconds"].map((word) => html`<span role="columnheader" class=${NUMBERS.includes(word) ? "num" : null}>${word}</span>`)}
          row=${(index) => html`<${EventRow} event=${episode.events[shown[index]]} place=${shown[index]} />`} />
      </div>
      <div class="pane" tabindex="0" role="region" aria-label="Event and rubric">
        ${episode.events[event] ? html`<${EventDetail} event=${episode.events[event]} place=${event} change=${changes[event]} facts=${task?.facts ?? []} of=${of} asked=${found.recorded && of ? { ...of, turn: turnOf(episode.events, event) } : null} />` : html`<p class="dim">Nothing happened.</p>`}
        ${found.replay_error ? html`<${Problem} text=${`State changes end early: ${found.replay_error}`} />` : null}
        <${Criteria} criteria=${criteria} onEvent=${choose} />
        <${Turns} events=${episode.events} onEvent=${choose} />
        ${task ? html`<${Fold} name="episode/brief" open title="Brief"><${Said} text=${task.instruction} />
          ${task.rules.length ? html`<ul>${task.rules.map((rule) => html`<li><${Said} text=${rule} /></li>`)}</ul>` : null}
          <p class="dim">tools: ${visible(task.tools.join(", "))}</p><//>` : null}
        ${tries.length > 1 ? html`<${Tries} tries=${tries} mine=${mine} run=${run} episode=${episode} />` : null}
      </div>
    </div>`;
}

function Worth({ score, episode }) {
  const ended = html`<span class="dim">stopped by ${episode.stop}, ${episode.turns} turns, ${number(episode.usage.completion)} tokens written, ${number(episode.usage.prompt)} read, ${number(episode.seconds, 2)} s</span>`;
  if (!score) return html`<p>Not scored yet. ${ended}</p>`;
  if (score.kind === "unscored") return html`<p><strong class="bad">Unscored.</strong> Blame: ${score.blame}, ${visible(score.reason)} ${visible(score.detail)} ${ended}</p>`;
  return html`<p><strong>Reward ${number(score.reward, 3)}</strong>: gate ${score.gate}, sub-goals ${number(score.n)}, interactions ${number(score.i)} (${score.formula})
    ${score.blame ? html`<span class="bad"> blame: ${score.blame}, ${visible(score.reason)}</span>` : null} ${ended}</p>`;
}

export function summary(event) {
  switch (event.kind) {
    case "agent": return [event.text, ...event.calls.map((call) => `${call.name} ${call.arguments}`)].filter(Boolean).join("  ·  ") || "(nothing)";
    case "user": return event.text;
    case "tool": return `${event.tool}${event.ok ? "" : ` failed (${event.error})`}  ${event.response}`;
    default: return event.error;
  }
}

// What one line can show; the pane beside it has all of it.
const line = (text) => visible(text.length > 300 ? `${text.slice(0, 300)}…` : text);

function EventRow({ event, place }) {
  const marks = [event.changed ? "✎" : "", event.disclosed?.length ? `◉ ${event.disclosed.join(", ")}` : "", event.findings?.length ? "⚠" : "", event.ok === false ? "✗" : ""].filter(Boolean).join(" ");
  return html`<${Fragment}>
    <span role="gridcell" class="dim">${place}</span><span role="gridcell" class=${`lane-${event.kind}`}>${LANE_WORD[event.kind]}</span>
    <span role="gridcell" dir="auto">${marks ? `${visible(marks)} ` : ""}${line(summary(event))}</span>
    <span role="gridcell" class="num dim">${event.usage?.prompt ? number(event.usage.prompt) : ""}</span><span role="gridcell" class="num dim">${event.usage?.completion ? number(event.usage.completion) : ""}</span><span role="gridcell" class="num dim">${event.seconds ? number(event.seconds, 2) : ""}</span></>`;
}

/** `of`: {run, agent, task, sample} of its episode, where it is kept in a run; `asked`: with its turn, where exchanges were recorded. */
export function EventDetail({ event, place, change, facts, of, asked }) {
  const told = (event.disclosed ?? []).map((id) => facts.find((fact) => fact.id === id) ?? { id, text: "" });
  return html`
    <h2 class=${`lane-${event.kind}`}>Event ${place}, ${LANE_WORD[event.kind]}${event.tool ? html`: ${visible(event.tool)}` : null}</h2>
    ${event.kind === "agent" ? html`
      ${event.text ? html`<${Said} text=${event.text} />` : null}
      ${event.calls.map((call) => html`<h3>calls ${visible(call.name)}</h3><${Said} mono text=${setOut(call.arguments)} />`)}
      ${event.answer !== null ? html`<h3>last word</h3><${Said} text=${event.answer} />` : null}
      ${event.truncated ? html`<p class="bad">cut at the limit of one turn</p>` : null}
      ${asked ? html`<${Raw} asked=${asked} />` : null}
      <p class="dim">${number(event.usage.prompt)} tokens read, ${number(event.usage.completion)} written, ${number(event.seconds, 2)} s</p>` : null}
    ${event.kind === "user" ? html`
      <${Said} text=${event.text} />
      <h3>in reply to</h3><${Said} text=${event.message} />
      <p class="dim">heard as ${visible(event.heard)}${event.agreed ? ", agreed" : ""}${event.done ? ", done" : ""}${event.asked.length ? `, asked for ${visible(event.asked.join(", "))}` : ""}</p>
      ${told.length ? html`<h3>told</h3><ul>${told.map((fact) => html`<li><strong>${visible(fact.id)}</strong> <${Said} text=${fact.text} /></li>`)}</ul>` : null}
      ${event.findings.length ? html`<h3>findings</h3><ul>${event.findings.map((finding) => html`<li class="bad"><${Said} text=${finding} /></li>`)}</ul>` : null}` : null}
    ${event.kind === "tool" ? html`
      <h3>arguments</h3><${Said} mono text=${event.arguments === null ? "could not be read" : json(event.arguments)} />
      <h3>result ${event.ok ? null : html`<span class="bad">failed: ${visible(event.error)}</span>`}</h3><${Said} mono text=${setOut(event.response)} />
      ${event.entry_id ? html`<p class="dim">response map: entry ${event.entry_id}${event.alias_of ? `, the answer of ${event.alias_of}` : ""}</p>` : null}
      ${event.entry_id && of ? html`<${MapEntry} of=${of} event=${event} />` : null}
      ${event.fault ? html`<p class="bad">made to fail: ${event.fault}</p>` : null}
      ${event.changed ? html`<${Changes} change=${change} />` : null}` : null}
    ${event.kind === "form" ? html`<${Said} text=${event.error} />` : null}`;
}

const turnOf = (events, place) => events.slice(0, place).filter((one) => one.kind === "agent").length;

/** What the model was sent for a turn and what it answered, as it was recorded. */
function Raw({ asked }) {
  const { run, ...words } = asked;
  const { value, error } = useAnswer(`/api/runs/${encodeURIComponent(run)}/exchange`, words);
  if (error) return html`<${Problem} text=${error} />`;
  if (!value) return html`<${Loading} />`;
  return value.exchange ? html`<h3>exchange with the model</h3><${Exchange} one=${value.exchange} name="event/exchange" />` : html`<p class="dim">Nothing was recorded for this turn.</p>`;
}

/** Tokens and time turn by turn; what follows a turn until the next is what it set off. */
function Turns({ events, onEvent }) {
  const turns = [];
  events.forEach((event, place) => {
    if (event.kind === "agent") turns.push({ place, event, after: 0 });
    else if (turns.length) turns.at(-1).after += event.seconds ?? 0;
  });
  const shown = turns.slice(0, MOST_TURNS);
  const most = Math.max(1, ...shown.map(({ event }) => event.usage.prompt + event.usage.completion));
  return html`<${Fold} name="episode/turns" title=${`Turns (${turns.length}): tokens and time`}>
    <table class="turns"><thead><tr><th scope="col">turn</th><th scope="col">event</th><th scope="col" class="num">read</th><th scope="col" class="num">written</th><th scope="col"><span class="unseen">picture</span></th><th scope="col" class="num">seconds</th><th scope="col" class="num">tools and user</th></tr></thead>
    <tbody>${shown.map(({ place, event, after }, turn) => html`<tr key=${place}><th scope="row">${turn}</th><td><button type="button" onClick=${() => onEvent(place)} aria-label=${`event ${place}`}>${place}</button></td>
      <td class="num">${number(event.usage.prompt)}</td><td class="num">${number(event.usage.completion)}</td>
      <td><svg class="interval" width="120" height="10" viewBox="0 0 120 10" aria-hidden="true"><rect class="read" x="0" y="1" height="8" width=${120 * event.usage.prompt / most} /><rect class="written" x=${120 * event.usage.prompt / most} y="1" height="8" width=${120 * event.usage.completion / most} /></svg></td>
      <td class="num">${number(event.seconds, 2)}</td><td class="num">${number(after, 2)}</td></tr>`)}</tbody></table>
    ${turns.length > shown.length ? html`<p class="dim">and ${number(turns.length - shown.length)} more: the timeline has them all</p>` : null}<//>`;
}

/** Who wrote the answer of a simulated tool, which model, and when; and the entry whose answer it repeats. */
function MapEntry({ of, event }) {
  const { run, ...words } = of;
  const { value, error } = useAnswer(`/api/runs/${encodeURIComponent(run)}/entries`, words);
  if (error) return html`<p class="dim">Its entry cannot be shown: ${visible(error)}</p>`;
  if (!value) return html`<${Loading} />`;
  const entry = value.entries[event.entry_id];
  const first = value.entries[entry?.alias_of ?? event.alias_of];
  if (!entry && !first) return html`<p class="dim">Its entry cannot be shown: ${visible(value.error ?? "it is not in the map")}</p>`;
  return html`<${Fold} name="event/entry" open title="the map's entry">${[["entry", entry], [entry ? "first given as" : "search's entry", first]].map(([word, one]) => one ? html`
    <table><tbody><tr><th scope="row">${word}</th><td>${one.entry_id}</td></tr>
      <tr><th scope="row">written by</th><td class="free">${visible(one.who || "–")}, model ${visible(one.model || "–")}</td></tr>
      <tr><th scope="row">when</th><td>${one.made ? new Date(one.made * 1000).toISOString().replace("T", " ").slice(0, 19) : "–"} UTC, used again ${number(one.hits)} times</td></tr>
      <tr><th scope="row">call</th><td><${Said} mono text=${`${one.tool} ${one.arguments}`} /></td></tr>
      <tr><th scope="row">state</th><td class="free">${visible(one.state)}, after ${trail(one.trail)}</td></tr>
      <tr><th scope="row">prompt</th><td>${visible(one.prompt || "–")}</td></tr></tbody></table>` : null)}
    <p class="dim">in ${visible(value.where)}</p><//>`;
}

function trail(text) {
  const calls = JSON.parse(text);
  return calls.length ? calls.map(([tool, args]) => html`<${Said} mono text=${`${tool} ${JSON.stringify(args)}`} />`) : "nothing";
}

function Changes({ change }) {
  if (!change) return html`<p class="dim">What it changed could not be replayed.</p>`;
  if (!change.rows.length) return html`<p class="dim">A write that changed no row: its tool is simulated, or it put back what was there.</p>`;
  return html`<h3>what it changed</h3>
    ${change.rows.map((row) => html`
      <p><strong>${visible(row.table)}</strong> <span class="dim">${visible(json(row.key))}</span></p>
      <div class="diff">
        <div class="gone">${row.before === null ? html`<span class="dim">was not there</span>` : html`<${Said} mono text=${told(row.before, row.columns)} />`}</div>
        <div class="came">${row.after === null ? html`<span class="dim">is gone</span>` : html`<${Said} mono text=${told(row.after, row.columns)} />`}</div>
      </div>`)}
    ${change.more ? html`<p>and ${change.more} more rows</p>` : null}`;
}

const told = (row, columns) => columns.map((name) => `${name}: ${JSON.stringify(row[name])}`).join("\n");

const WORD = { forbidden: ["kept", "broken"], subgoal: ["done", "missed"], interaction: ["done", "missed"] };

export function Criteria({ criteria, onEvent }) {
  return html`<h2>Rubric</h2><ul class="criteria">${criteria.map((one) => html`
    <li key=${`${one.kind}/${one.id}`}>
      <strong class=${one.good === null ? "dim" : one.good ? "good" : "bad"}>${one.good === null ? "–" : WORD[one.kind][one.good ? 0 : 1]}</strong>
      <span><span class="dim">${one.kind} ${visible(one.id)}${one.by === "judge" ? ", by the judge" : ""}</span> <${Said} text=${one.text} /></span>
      <span>${one.events.map((event) => html`<button type="button" onClick=${() => onEvent(event)} aria-label=${`proof: event ${event}`}>${event}</button> `)}</span>
    </li>`)}</ul>`;
}

function Tries({ tries, mine, run, episode }) {
  const self = [run, episode.agent, episode.task_id, episode.sample].join("|");
  const ids = [...new Set(tries.flatMap((one) => Object.keys(one.verdicts)))];
  const mean = tries.filter((one) => one.reward !== null).reduce((sum, one, _, all) => sum + one.reward / all.length, 0);
  return html`<h2>The ${tries.length} tries at this task, mean reward ${number(mean, 3)}</h2>
    <table><thead><tr><th scope="col">agent</th><th scope="col">try</th><th scope="col" class="num">reward</th><th scope="col">stop</th><th scope="col">rubric</th><th scope="col">compare</th></tr></thead>
    <tbody>${tries.map((one, place) => html`<tr key=${`${one.agent}/${one.sample}`}>
      <td class="free">${place === mine ? html`<strong>${visible(one.agent)}</strong>` : html`<a href=${link(["episode", run, one.agent, one.task_id, one.sample])}>${visible(one.agent)}</a>`}</td>
      <td>${one.sample}</td><td class="num">${number(one.reward, 3)}</td><td>${one.stop}</td>
      <td>${ids.map((id) => html`<span class=${one.verdicts[id] === undefined ? "dim" : one.verdicts[id] ? "good" : "bad"} title=${visible(id)}>${visible(id)}${one.verdicts[id] === undefined ? "–" : one.verdicts[id] ? "✓" : "✗"} </span>`)}</td>
      <td>${place === mine ? "" : html`<a href=${link(["compare"], { left: self, right: [run, one.agent, one.task_id, one.sample].join("|") })} aria-label=${`compare with ${one.agent}, try ${one.sample}`}>compare</a>`}</td></tr>`)}</tbody></table>`;
}
