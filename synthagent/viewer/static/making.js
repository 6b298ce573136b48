// How tasks were made: what was rejected and why, what each stage of a course gave, what the teacher was asked.
import { amend, Fold, html, json, link, Loading, number, Problem, Said, setOut, useAnswer, visible } from "./base.js";
import { Rows } from "./lists.js";

export function RejectedList({ pages, chosen, set, onOpen }) {
  if (pages.total === 0 && pages.extra?.rejected === 0) return html`<p class="dim">Nothing was rejected, or no journal lies beside the file.</p>`;
  return html`<div class="rejected split one">
    <${Rows} label="Rejected" count=${pages.total ?? 0} height=${32} chosen=${chosen} onChoose=${(index) => amend({ at: String(index) })} onOpen=${onOpen} onRange=${pages.range}
      head=${["stage", "reason", "out of", "why", "tokens"].map((word) => html`<span role="columnheader">${word}</span>`)}
      row=${(index) => html`<${RejectedRow} one=${pages.rows.get(index)} set=${set} />`} />
  </div>`;
}

function RejectedRow({ one, set }) {
  if (!one) return html`<span role="gridcell" class="dim">…</span>`;
  const cells = [
    visible(one.stage), html`<a href=${link(["rejected", set, one.place])} tabindex="-1">${visible(one.reason)}</a>`,
    html`<span dir="auto">${visible(one.what)}</span>`, html`<span class="dim" dir="auto">${visible(one.detail)}</span>`, html`<span class="num">${one.tokens === null ? "–" : number(one.tokens)}</span>`,
  ];
  return cells.map((cell) => html`<span role="gridcell">${cell}</span>`);
}

export function RejectedPage({ set, place }) {
  const { value, error } = useAnswer(`/api/rejected/${encodeURIComponent(set)}/${encodeURIComponent(place)}`);
  const up = link(["tasks", set], { kept: "no", at: place });
  if (error) return html`<a class="up" href=${up}>Rejected</a><${Problem} text=${error} />`;
  if (!value) return html`<${Loading} />`;
  const { record, made } = value;
  const reasons = record.reasons ?? record.details ?? [];
  return html`
    <div class="bar"><a class="up" href=${up}>Rejected</a><h1>${visible(value.stage)}: ${visible(value.reason)}</h1>
      ${value.tokens === null ? null : html`<span class="dim">${number(value.tokens)} tokens, ${number(record.tools ?? 0)} tools of which ${number(record.compiled ?? 0)} compile, ${number(record.repairs ?? 0)} repairs</span>`}</div>
    <div class="split${made ? "" : " one"}">
      <div class="pane" tabindex="0" role="region" aria-label="Why it was rejected">
        <h2>Out of</h2><${Said} text=${value.what} />
        <h2>Why</h2>${reasons.length ? html`<ul>${reasons.map((one) => html`<li><${Said} text=${one} /></li>`)}</ul>` : html`<${Said} text=${value.detail || "Nothing more was noted."} />`}
        ${record.raw ? html`<h2>The teacher's last words</h2><${Said} mono text=${setOut(record.raw)} />` : null}
      </div>
      ${made ? html`<div class="pane" tabindex="0" role="region" aria-label="How far it came"><${Made} made=${made} /></div>` : null}
    </div>`;
}

/** What the stages of a course gave for one job, and the exchanges with the teacher where they were recorded. */
export function Made({ made }) {
  const { stages, exchanges } = made;
  return html`
    <h2>What each stage gave</h2>
    ${stages.length ? stages.map((one, place) => html`<${Fold} key=${place} name=${`stage/${one.stage}`} title=${visible(one.stage)}><${Said} mono text=${json(one.output)} /><//>`) : html`<p class="dim">No stage came to an end.</p>`}
    <h2>What the teacher was asked</h2>
    ${exchanges === null ? html`<p class="dim">It was not recorded: --record keeps it.</p>` : exchanges.length ? exchanges.map((one, place) => html`<${Exchange} key=${place} one=${one} name=${`asked/${one.stage}`} />`)
    : html`<p class="dim">The recording has nothing for this one: it was answered out of the cache, or recorded before exchanges said what they are for.</p>`}`;
}

/** One question to a model and what came of it, as it was recorded. */
export function Exchange({ one, name, open = false }) {
  const usage = one.usage ?? {};
  const calls = one.tool_calls ?? [];
  return html`<${Fold} name=${name} open=${open} title=${html`${visible(one.stage || "turn")} <span class="dim">${visible(one.model)}, ${number(usage.prompt ?? 0)} tokens read, ${number(usage.completion ?? 0)} written, ${number(one.seconds ?? 0, 2)} s${one.failure ? html`, <span class="bad">${visible(one.failure)}</span>` : null}</span>`}>
    ${one.messages.map((message, place) => html`<h3 key=${place}>${visible(message.role)}</h3><${Said} text=${message.content ?? ""} />
      ${(message.tool_calls ?? []).map((call) => html`<${Said} mono text=${`${call.function?.name} ${setOut(call.function?.arguments ?? "")}`} />`)}`)}
    <h3>what the model answered${one.finish_reason ? html` <span class="dim">(${visible(one.finish_reason)})</span>` : null}</h3>
    ${one.failure ? html`<${Said} text=${`${one.failure}: ${one.detail}`} />` : html`<${Said} mono text=${setOut(one.content ?? "")} />`}
    ${calls.map((call) => html`<${Said} mono text=${`${call.name} ${setOut(call.arguments)}`} />`)}
    <${Fold} name="exchange/parameters" title="parameters"><${Said} mono text=${json(one.parameters ?? {})} /><//><//>`;
}
