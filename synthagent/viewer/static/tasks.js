// Tasks: a set with facets and search, what was rejected when it was made, and one task whole.
import { amend, ask, Fold, go, html, json, link, Loading, number, Problem, Said, useAnswer, visible } from "./base.js";
import { Rows, usePages } from "./lists.js";
import { Facet, Search } from "./runs.js";
import { Made, RejectedList } from "./making.js";

const FACETS = ["domain", "difficulty", "restriction", "twin", "legal", "kind", "rate"];

export function TasksPage({ library, name, query }) {
  const sets = [...(library?.tasks ?? []), ...(library?.runs ?? [])];
  const { at, kept, ...filters } = query;
  const rejected = kept === "no";
  const path = `/api/${rejected ? "rejected" : "tasks"}/${encodeURIComponent(name)}`;
  const pages = usePages((offset, limit) => ask(path, { ...filters, offset, limit }), JSON.stringify([path, filters]));
  const chosen = at ? Number(at) : 0;
  const found = pages.extra ?? {};
  const open = (index) => pages.rows.get(index) && go(rejected ? ["rejected", name, pages.rows.get(index).place] : ["task", name, pages.rows.get(index).id]);
  const set = (change) => amend({ at: null, ...change });
  // Tasks and what was rejected have other facets: those of the one mean nothing to the other.
  const turn = (value) => go(["tasks", name], { q: query.q, kept: value });
  return html`
    <div class="bar"><h1>Tasks</h1>
      <label>of <select value=${name} onChange=${(event) => go(["tasks", event.currentTarget.value])}>
        ${sets.map((one) => html`<option value=${one.name} selected=${one.name === name}>${visible(one.name)}</option>`)}</select></label>
      <label>show <select aria-label="show" value=${rejected ? "no" : ""} onChange=${(event) => turn(event.currentTarget.value)}>
        <option value="" selected=${!rejected}>kept (${number(found.kept)})</option><option value="no" selected=${rejected}>rejected (${number(found.rejected)})</option></select></label>
      <span class="dim" role="status">${pages.total === null ? "…" : `${number(pages.total)} found`}</span></div>
    <div class="bar" role="search">
      <${Search} label="search" value=${query.q} onChange=${(q) => set({ q })} />
      ${(rejected ? ["stage", "reason"] : FACETS).map((facet) => html`<${Facet} key=${facet} name=${facet} values=${found.facets?.[facet]} chosen=${query[facet]} onChange=${(value) => set({ [facet]: value })} />`)}
      ${query.family ? html`<button type="button" onClick=${() => set({ family: null })}>family ${visible(query.family)} ✕</button>` : null}
    </div>
    ${pages.error ? html`<${Problem} text=${pages.error} />` : null}
    ${found.rejected_error ? html`<${Problem} text=${`What was rejected cannot be told: ${found.rejected_error}`} />` : null}
    ${rejected ? html`<${RejectedList} pages=${pages} chosen=${chosen} set=${name} onOpen=${open} />` : html`
    <div class="tasks split one">
      <${Rows} label="Tasks" count=${pages.total ?? 0} height=${32} chosen=${chosen} onChoose=${(index) => amend({ at: String(index) })} onOpen=${open} onRange=${pages.range}
        head=${["task", "domain", "difficulty", "twin", "legal", "facts", "reward", "instruction"].map((word) => html`<span role="columnheader">${word}</span>`)}
        row=${(index) => html`<${TaskRow} one=${pages.rows.get(index)} set=${name} />`} />
    </div>`}`;
}

function TaskRow({ one, set }) {
  if (!one) return html`<span role="gridcell" class="dim">…</span>`;
  const cells = [
    html`<a href=${link(["task", set, one.id])} tabindex="-1">${one.id}</a>`, visible(one.domain[0] || "–"), one.difficulty[0], one.twin[0], one.legal[0],
    one.facts, number(one.reward), html`<span dir="auto">${visible(one.instruction)}</span>`,
  ];
  return cells.map((cell) => html`<span role="gridcell">${cell}</span>`);
}

export function TaskPage({ set, id, playing }) {
  const { value, error } = useAnswer(`/api/tasks/${encodeURIComponent(set)}/${encodeURIComponent(id)}`);
  if (error) return html`<a class="up" href=${link(["tasks", set])}>Tasks</a><${Problem} text=${error} />`;
  if (!value) return html`<${Loading} />`;
  const { task, family, played } = value;
  const { brief, hidden, world, rubric } = task;
  const note = task.provenance ?? {};
  return html`
    <div class="bar"><a class="up" href=${link(["tasks", set])}>Tasks</a><h1>Task ${task.id}</h1>
      ${playing ? html`<a href=${link(["play", set, id])}>play it yourself</a>` : null}
      <span class="dim">${visible([note.domain, note.twin ? `${note.twin} twin` : null, note.legal === false ? "not allowed" : null, ...(note.features ?? [])].filter(Boolean).join(", "))}</span></div>
    <div class="split">
      <div class="pane" tabindex="0" role="region" aria-label="What agent and user know">
        <h2>What the agent sees</h2><${Said} text=${brief.instruction} />
        ${(brief.rules ?? []).length ? html`<h3>rules</h3><ul>${brief.rules.map((rule) => html`<li><${Said} text=${rule} /></li>`)}</ul>` : null}
        <h2>Tools</h2>${brief.tools.map((tool) => html`<${Tool} tool=${tool} world=${world} />`)}
        <h2>What only the user knows</h2><${Said} text=${hidden.goal} /><p class="dim">${hidden.disposition ?? "cooperative"}</p>
        <table><thead><tr><th scope="col">fact</th><th scope="col">topic</th><th scope="col">as the user says it</th><th scope="col">value</th></tr></thead>
          <tbody>${(hidden.facts ?? []).map((fact) => html`<tr><td>${visible(fact.id)}</td><td>${visible(fact.topic)}</td><td><${Said} text=${fact.text} /></td><td>${visible(String(fact.value))}</td></tr>`)}</tbody></table>
        ${(hidden.requests ?? []).map((one) => html`<p>then: <${Said} text=${one.text} /></p>`)}
        ${(hidden.escape_lines ?? []).map((one) => html`<p class="dim">pushes: <${Said} text=${one} /></p>`)}
      </div>
      <div class="pane" tabindex="0" role="region" aria-label="How it is scored, and its world">
        <h2>Workflow</h2><ol>${(task.workflow ?? []).map((one) => html`<li><${Said} text=${one} /></li>`)}</ol>
        <h2>Rubric</h2>
        ${[["forbidden", rubric.forbidden], ["sub-goal", rubric.subgoals], ["interaction", rubric.interactions]].map(([kind, found]) => (found ?? []).map((one) => html`
          <${Fold} name=${`criterion/${kind}/${one.id}`} title=${html`<span class="dim">${kind} ${visible(one.id)}</span> ${visible(one.text)}`}>
            ${one.check ? html`<${Said} mono text=${json(one.check)} />` : html`<p class="dim">A judge decides it.</p>`}
            ${one.trap?.length ? html`<h3>trap</h3><${Said} mono text=${json(one.trap)} />` : null}<//>`))}
        <h2>Reference</h2><ol start="0">${(task.reference ?? []).map((one) => html`<li><${Said} mono text=${step(one)} /></li>`)}</ol>
        <h2>World at ${visible(world.now)}</h2>
        ${Object.entries(world.rows).map(([name, rows]) => html`<${Table} name=${name} rows=${rows} ddl=${world.ddl} />`)}
        <${Fold} name="task/ddl" title="tables as SQL"><${Said} mono text=${world.ddl} /><//>
        <h2>Family ${visible(task.family)}</h2>
        <ul>${family.map((one) => html`<li>${one.id === task.id ? html`<strong>${one.id}</strong>` : html`<a href=${link(["task", set, one.id])}>${one.id}</a>`} <span class="dim">${one.twin[0]}, legal: ${one.legal[0]}${one.parents.length ? `, grown from ${one.parents.join(", ")}` : ""}</span></li>`)}</ul>
        ${played.length ? html`<h2>Who played it</h2><ul>${played.map((one) => html`<li><a href=${link(["episode", one.run, one.agent, task.id, one.sample])}>${visible(one.agent)}, try ${one.sample}</a> <span class="dim">${visible(one.run)}, reward ${number(one.reward, 3)}, ${one.stop}</span></li>`)}</ul>` : null}
        <h2>Where it comes from</h2><${Origin} note=${note} />
        ${value.made_error ? html`<${Problem} text=${`The course beside the tasks cannot be read: ${value.made_error}`} />` : null}
        ${value.made ? html`<${Made} made=${value.made} />` : null}
      </div>
    </div>`;
}

function Tool({ tool, world }) {
  const { name, description, parameters } = tool.function;
  const program = world.programs[name];
  return html`<${Fold} name=${`tool/${name}`} title=${html`<strong>${visible(name)}</strong> <span class="dim">${tool.effect}${program ? "" : world.services?.[name] ? ", a service" : ", simulated"}</span>`}>
    <${Said} text=${description} /><h3>parameters</h3><${Said} mono text=${json(parameters)} />
    ${program ? html`<h3>program</h3><${Said} mono text=${program.map(sql).join("\n\n")} />` : null}
    ${world.grounding?.[name] ? html`<h3>grounding</h3><${Said} text=${world.grounding[name]} />` : null}<//>`;
}

/** Who made a task, out of what, and how it was screened. */
function Origin({ note }) {
  const prompts = Object.entries(note.prompts ?? {});
  const rows = [
    ["persona", note.persona], ["teacher", note.teacher || "procedural"], ["goals", (note.templates ?? []).join(", ")], ["features", (note.features ?? []).join(", ")],
    ["parents", (note.parents ?? []).join(", ")], ["seeds", (note.seeds ?? []).join(", ")], ["tokens spent", note.tokens ? number(note.tokens) : ""],
    ["screening", Object.entries(note.screening ?? {}).map(([screen, outcome]) => `${screen} ${outcome}`).join(", ")], ["licence", note.output_licence],
  ].filter(([, found]) => found);
  return html`<table><tbody>${rows.map(([name, found]) => html`<tr><th scope="row">${name}</th><td class="free">${visible(found)}</td></tr>`)}</tbody></table>
    ${prompts.length ? html`<${Fold} name="task/prompts" title=${`prompts (${prompts.length} files, with their fingerprints)`}>
      <ul>${prompts.map(([name, print]) => html`<li>${visible(name)} <span class="dim">${visible(print)}</span></li>`)}</ul><//>` : null}
    <${Fold} name="task/note" title="the whole note"><${Said} mono text=${json(note)} /><//>`;
}

const sql = (one) => "require" in one ? `require ${one.require}\n  else ${JSON.stringify(one.else)}` : "run" in one ? `run ${one.run}` : `return ${one.return}  (${one.shape ?? "rows"})`;

function step(one) {
  if ("ask" in one) return `ask for ${one.ask}: ${one.text}`;
  return "call" in one ? `call ${one.call} ${JSON.stringify(one.args ?? {})}` : `say: ${one.say}`;
}

const FIRST = 50;

function Table({ name, rows }) {
  // All of a small table at once, the start of a large one: the file has the rest.
  return html`<${Fold} name=${`table/${name}`} title=${html`${visible(name)} <span class="dim">${number(rows.length)} rows</span>`}>
    <${Said} mono text=${rows.slice(0, FIRST).map((row) => JSON.stringify(row)).join("\n")} />
    ${rows.length > FIRST ? html`<p class="dim">and ${number(rows.length - FIRST)} more rows in the file</p>` : null}<//>`;
}
