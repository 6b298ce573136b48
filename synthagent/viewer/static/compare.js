// Two episodes side by side, event by event, differences marked.
import { amend, html, link, Loading, number, Problem, useAnswer, visible } from "./base.js";
import { Rows } from "./lists.js";
import { EventDetail, summary } from "./episode.js";

export function ComparePage({ query }) {
  const { value, error } = useAnswer("/api/compare", { left: query.left, right: query.right });
  if (error) return html`<a class="up" href="#/runs">Runs</a><${Problem} text=${error} />`;
  if (!value) return html`<${Loading} />`;
  const { left, right, rows } = value;
  const chosen = Math.min(query.at ? Number(query.at) : 0, rows.length - 1);
  const differing = rows.filter((row) => !row.same).length;
  const one = rows[chosen];
  return html`
    <div class="bar"><a class="up" href=${link(["run", left.run])}>${visible(left.run)}</a><h1>Two episodes</h1>
      <span class="dim">${differing} of ${rows.length} rows differ</span></div>
    <table><thead><tr><th scope="col">side</th><th scope="col">episode</th><th scope="col" class="num">reward</th><th scope="col">stop</th><th scope="col" class="num">turns</th><th scope="col">rubric</th></tr></thead>
      <tbody>${[["left", left], ["right", right]].map(([side, found]) => html`<tr><th scope="row">${side}</th>
        <td><a href=${link(["episode", found.run, found.episode.agent, found.episode.task_id, found.episode.sample])}>${visible(found.episode.agent)}, task ${found.episode.task_id}, try ${found.episode.sample}</a></td>
        <td class="num">${number(found.score?.reward, 3)}</td><td>${found.episode.stop}</td><td class="num">${found.episode.turns}</td>
        <td>${found.criteria.map((c) => html`<span class=${c.good === null ? "dim" : c.good ? "good" : "bad"} title=${visible(c.text)}>${visible(c.id)}${c.good === null ? "–" : c.good ? "✓" : "✗"} </span>`)}</td></tr>`)}</tbody></table>
    <div class="compare split one">
      <${Rows} label="Both, event by event" count=${rows.length} height=${30} chosen=${chosen} onChoose=${(index) => amend({ at: String(index) })}
        head=${["", "left", "", "right"].map((word) => html`<span role="columnheader">${word}</span>`)}
        row=${(index) => html`<${Pair} row=${rows[index]} left=${left} right=${right} />`} />
      <div class="pane" tabindex="0" role="region" aria-label="The events chosen">
        ${one ? html`<div class="diff">
          <div>${one.left === null ? html`<p class="dim">nothing here</p>` : html`<${EventDetail} event=${left.episode.events[one.left]} place=${one.left} change=${left.changes[one.left]} facts=${left.task?.facts ?? []} />`}</div>
          <div>${one.right === null ? html`<p class="dim">nothing here</p>` : html`<${EventDetail} event=${right.episode.events[one.right]} place=${one.right} change=${right.changes[one.right]} facts=${right.task?.facts ?? []} />`}</div>
        </div>` : null}
      </div>
    </div>`;
}

function Pair({ row, left, right }) {
  const side = (found, place) => place === null ? html`<span role="gridcell" class="dim">–</span>`
    : html`<span role="gridcell" class=${`lane-${found.episode.events[place].kind}`} dir="auto">${visible(summary(found.episode.events[place]).slice(0, 300))}</span>`;
  return [
    html`<span role="gridcell">${row.same ? "=" : html`<strong class="bad">≠</strong>`} ${row.left ?? ""}</span>`, side(left, row.left),
    html`<span role="gridcell">${row.right ?? ""}</span>`, side(right, row.right),
  ];
}
