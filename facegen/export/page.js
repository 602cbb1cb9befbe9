"use strict";
/* The form, the model's way into the worker, and the pictures. Names of attributes and classes are anybody's
   words, so they become text and never markup. */

const PIECES = {}; // by name, bytes of what is packed
const LATEST = { started: 0, count: 0, words: "", addresses: [], running: false };
const at = (id) => document.getElementById(id);

/** Called by the scripts of `model`. */
function held(name, number, text) {
  PIECES[name] ??= [];
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length); // Uint8Array.from made loading take twice as long
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  PIECES[name][number] = bytes;
}

function made(tag, properties = {}, ...children) {
  const part = Object.assign(document.createElement(tag), properties);
  part.append(...children);
  return part;
}

/* ---- the form ---- */

const { page: PAGE, sampling: USUAL } = CONFIG;
const STANDS = [["no", -1], ["any", 0], ["yes", 1]];

function buildForm() {
  document.title = `Faces by ${PAGE.title}`;
  at("title").textContent = document.title;
  at("by").textContent = PAGE.by;
  at("attributes").hidden = PAGE.headings.length === 0;
  for (const [heading, attributes] of PAGE.headings) {
    const rows = attributes.map(([number, words]) => switchOf(number, words));
    at("switches").append(made("section", {}, made("h3", { textContent: heading }), ...rows));
  }
  at("class").hidden = PAGE.classes.length === 0;
  at("class-words").textContent = PAGE.class_words;
  const classes = ["any", ...PAGE.classes].map((name, number) => new Option(name, number - 1));
  at("class-name").append(...classes);
  const counts = Object.keys(PAGE.walks).map((steps) => new Option(steps, steps));
  at("steps").append(...counts);
  at("steps").value = USUAL.steps;
  at("guidance").value = USUAL.guidance_scale;
  at("guided").hidden = PAGE.nothing.length === 0;
}

/** A row with the name of an attribute and its three stands. */
function switchOf(number, words) {
  const name = made("span", { id: `name-${number}`, className: "name", textContent: words });
  const choices = STANDS.map(([said, value]) => {
    const input = made("input", { type: "radio", name: `attribute-${number}`, value, checked: value === 0 });
    return made("label", {}, input, made("span", { textContent: said }));
  });
  const stands = made("div", { className: "stands" }, ...choices);
  stands.setAttribute("role", "radiogroup");
  stands.setAttribute("aria-labelledby", name.id);
  return made("div", { className: "switch" }, name, stands);
}

/** [[number, words, -1 or 1], ...] of all attributes that are not open. */
function chosen() {
  const all = PAGE.headings.flatMap(([, attributes]) => attributes);
  return all
    .map(([number, words]) => [number, words, Number(at("form").elements[`attribute-${number}`].value)])
    .filter(([, , value]) => value !== 0);
}

const wordsOf = ([, words, value]) => (value > 0 ? words : `no ${words}`);

function showChosen() {
  const asked = chosen();
  at("chosen").hidden = at("clear").hidden = asked.length === 0;
  const chips = asked.map((one) => {
    const chip = made("button", { type: "button", className: "chip", textContent: wordsOf(one) });
    chip.setAttribute("aria-label", `${wordsOf(one)}: leave open`);
    chip.onclick = () => setOpen([one]);
    return chip;
  });
  at("chosen").replaceChildren(...chips);
}

function setOpen(some) {
  for (const [number] of some) at("form").elements[`attribute-${number}`].value = "0";
  showChosen();
}

function find() {
  const wanted = at("search").value.trim().toLowerCase();
  for (const section of at("switches").children) {
    const [heading, ...rows] = section.children;
    const all = heading.textContent.toLowerCase().includes(wanted);
    for (const row of rows) row.hidden = !all && !row.firstChild.textContent.toLowerCase().includes(wanted);
    section.hidden = rows.every((row) => row.hidden);
  }
  at("none-found").hidden = [...at("switches").children].some((section) => !section.hidden);
}

/** What the form asks: one entry for each face. */
function wishes() {
  const row = [...PAGE.nothing];
  for (const [number, , value] of chosen()) row[number] = value;
  const name = Number(at("class-name").value);
  if (PAGE.classes.length && name >= 0) row[0] = name;
  const guidance = PAGE.nothing.length ? Number(at("guidance").value) : 1;
  const [count, seed, steps] = ["count", "seed", "steps"].map((id) => Number(at(id).value));
  return Array.from({ length: count }, (_, each) => ({ row, seed: (seed + each) % 2 ** 32, steps, guidance }));
}

/** The same in words. */
function said() {
  const name = Number(at("class-name").value);
  return [...(PAGE.classes.length && name >= 0 ? [PAGE.classes[name]] : []), ...chosen().map(wordsOf)].join(", ");
}

/* ---- the model ---- */

/** Run one of the scripts in `model`. */
function ran(file) {
  return new Promise((resolve, reject) => {
    const script = made("script", { src: `model/${file}`, onload: resolve });
    script.onerror = () => reject(new Error(`model/${file} cannot be read. Is the folder whole?`));
    document.head.append(script);
  }).finally(() => document.head.lastChild.remove());
}

async function loaded() {
  const all = Object.entries(PAGE.pieces);
  const total = all.reduce((sum, [, count]) => sum + count, 0);
  let done = 0;
  const files = {};
  for (const [name, count] of all) {
    for (let number = 0; number < count; number++) {
      showProgress(`Loading the model (${Math.round(PAGE.bytes / 1e6)} MB) …`, done++ / total);
      await ran(`${name}-${number}.js`);
    }
    const packed = new Blob(PIECES[name]).stream();
    delete PIECES[name];
    const bytes = new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
    files[name] = new Uint8Array(await bytes);
  }
  return files;
}

async function start() {
  const source = `"use strict";\n${Noise}\n${Drawing}\n${served}\nserved();`;
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  worker.onerror = (event) => fail(event.message);
  worker.onmessage = ({ data }) => {
    const [[name, told]] = Object.entries(data);
    ({ opened, step, face, done, failed: fail })[name](told);
  };
  const files = await loaded();
  showProgress("Starting the model …", 1);
  worker.postMessage({ open: [files, CONFIG] }, Object.values(files).map(({ buffer }) => buffer));
  return worker;
}

/* ---- what the worker says ---- */

function opened() {
  at("draw").disabled = false;
  showProgress("Ready.", null);
}

function step({ number, done: steps, of }) {
  showProgress(`Face ${number + 1} of ${LATEST.count}, step ${steps + 1} of ${of}`, (number + steps / of) / LATEST.count);
}

async function face({ width, height, pixels, seed }) {
  const canvas = made("canvas", { width, height });
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  const figure = at("pictures").querySelector(".waiting");
  figure.className = "";
  const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const address = URL.createObjectURL(picture);
  LATEST.addresses.push(address);
  const alt = `Face of seed ${seed}${LATEST.words && `: ${LATEST.words}`}`;
  const download = `seed-${String(seed).padStart(8, "0")}.png`;
  const save = made("a", { href: address, download, textContent: "Save" });
  save.setAttribute("aria-label", `Save the face of seed ${seed}`);
  const caption = made("figcaption", {}, made("span", { textContent: `Seed ${seed}` }), save);
  figure.replaceChildren(made("img", { src: address, alt, width, height }), caption);
}

function done({ stopped }) {
  const seconds = ((performance.now() - LATEST.started) / 1000).toFixed(1);
  at("pictures").querySelectorAll(".waiting").forEach((figure) => figure.remove());
  rest(stopped ? "Stopped." : `${LATEST.count === 1 ? "1 face" : `${LATEST.count} faces`} in ${seconds} seconds.`);
}

function fail(why) {
  at("mistake").textContent = `It does not work: ${why}`;
  at("mistake").hidden = false;
  at("pictures").querySelectorAll(".waiting").forEach((figure) => figure.remove());
  rest("");
}

function rest(words) {
  LATEST.running = false;
  at("draw").textContent = "Draw";
  showProgress(words, null);
}

function showProgress(words, share) {
  at("status").textContent = words;
  at("progress").hidden = share === null;
  at("progress").value = share ?? 0;
}

/* ---- what people do ---- */

function draw(worker) {
  const asked = wishes();
  LATEST.addresses.splice(0).forEach(URL.revokeObjectURL);
  Object.assign(LATEST, { started: performance.now(), count: asked.length, words: said(), running: true });
  at("mistake").hidden = true;
  at("asked").hidden = LATEST.words === "";
  at("asked").textContent = LATEST.words;
  at("draw").textContent = "Stop";
  const empty = asked.map(() => made("figure", { className: "waiting" }, made("div", { className: "blank" })));
  at("pictures").replaceChildren(...empty);
  worker.postMessage({ draw: asked });
  if (at("results").getBoundingClientRect().top > innerHeight / 2) at("results").scrollIntoView();
}

buildForm();
showChosen();
at("search").oninput = find;
at("search").onkeydown = (event) => event.key === "Enter" && event.preventDefault();
at("switches").onchange = showChosen;
at("clear").onclick = () => setOpen(chosen());
at("new-seed").onclick = () => (at("seed").value = Math.floor(Math.random() * 1e6));
start().then((worker) => {
  at("form").onsubmit = (event) => {
    event.preventDefault();
    if (LATEST.running) worker.postMessage({ stop: true });
    else draw(worker);
  };
}, (error) => fail(error.message));
