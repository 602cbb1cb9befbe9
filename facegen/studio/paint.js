// Where a photo may change is painted on a canvas over it. A moment after the last stroke it is uploaded as a mask
// of the photo's own shape, white on black, as if it had been chosen as a file; the server then shows what it has.
const PAINTED_PIXELS = 512;
const MOST_PIXELS = 8192;  // of a side of the mask, where the photo is very long
const PAUSE = 400, PATIENCE = 10000;  // milliseconds: after a stroke, for the answer to an upload
const painting = {stroke: null, timer: 0, number: 0, sent: null, drawsNext: false};

const painted = () => document.querySelector("#photo-shown .painting canvas");
const taken = () => document.querySelector("#mask-shown [data-mask]");
const isUnsaved = () => Boolean(painting.stroke || painting.timer || painting.sent !== null);

const pointOn = (canvas, event) => {
  const box = canvas.getBoundingClientRect(), scale = PAINTED_PIXELS / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
};

const strokeTo = (event) => {
  const {canvas, last} = painting.stroke, point = pointOn(canvas, event);
  const tools = canvas.closest(".painting"), pen = canvas.getContext("2d");
  pen.globalCompositeOperation = tools.querySelector(".erase").checked ? "destination-out" : "source-over";
  pen.lineWidth = tools.querySelector(".brush").value / 100 * PAINTED_PIXELS;
  pen.lineCap = "round";
  pen.strokeStyle = "#2fb5b0";
  pen.beginPath();
  pen.moveTo(...last);
  pen.lineTo(...point);
  pen.stroke();
  painting.stroke.last = point;
};

const maskOf = (canvas) => {
  const {whole, square} = canvas.closest(".painting").dataset;
  const [width, height] = whole.split(" ").map(Number), [left, top, side] = square.split(" ").map(Number);
  const scale = Math.min(PAINTED_PIXELS / side, MOST_PIXELS / Math.max(width, height));
  const mask = document.createElement("canvas"), white = document.createElement("canvas");
  [mask.width, mask.height] = [width, height].map((pixels) => Math.max(1, Math.round(pixels * scale)));
  white.width = white.height = PAINTED_PIXELS;
  const whitening = white.getContext("2d"), pen = mask.getContext("2d");
  whitening.drawImage(canvas, 0, 0);
  whitening.globalCompositeOperation = "source-in";
  whitening.fillStyle = "white";
  whitening.fillRect(0, 0, PAINTED_PIXELS, PAINTED_PIXELS);
  pen.fillRect(0, 0, mask.width, mask.height);
  pen.drawImage(white, left * scale, top * scale, side * scale, side * scale);
  return mask;
};

const isEmpty = (canvas) => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, PAINTED_PIXELS, PAINTED_PIXELS);
  return !data.some((value, at) => at % 4 === 3 && value);
};

const save = () => {
  const canvas = painted();
  clearTimeout(painting.timer);
  painting.timer = 0;
  if (!canvas) return;
  const name = painting.sent = isEmpty(canvas) ? "" : `mask-${++painting.number}.png`;
  setTimeout(() => { if (painting.sent === name) painting.sent = null; }, PATIENCE);
  if (name) maskOf(canvas).toBlob((blob) => upload("#mask", new File([blob], name, {type: "image/png"})));
  else document.querySelector("#clear-mask").click();
  show();
};

// Lays the mask that the server has over the photo, unless it is what was painted there.
const show = () => {
  const canvas = painted(), told = taken(), mask = told?.dataset.mask ?? "";
  if (painting.sent !== null && painting.sent === (told?.dataset.name ?? "")) {
    painting.sent = null;
    if (canvas) canvas.shows = mask;
    if (painting.drawsNext) document.querySelector("#draw").click();
    painting.drawsNext = false;
  }
  if (!canvas || isUnsaved() || canvas.shows === mask) return;
  canvas.shows = mask;
  canvas.width = canvas.height = PAINTED_PIXELS;  // empties it
  if (!mask) return;
  const image = new Image();
  image.onload = () => {
    if (canvas.shows !== mask || isUnsaved()) return;
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    const pixels = pen.getImageData(0, 0, PAINTED_PIXELS, PAINTED_PIXELS);
    for (let at = 0; at < pixels.data.length; at += 4) pixels.data.set([47, 181, 176, pixels.data[at]], at);
    pen.putImageData(pixels, 0, 0);
  };
  image.src = mask;
};
new MutationObserver(show).observe(document, {childList: true, subtree: true});

addEventListener("pointerdown", (event) => {
  const canvas = painted();
  if (event.target !== canvas || event.button) return;
  clearTimeout(painting.timer);
  painting.timer = 0;
  painting.stroke = {canvas, last: pointOn(canvas, event)};
  canvas.setPointerCapture(event.pointerId);
  strokeTo(event);
});
addEventListener("pointermove", (event) => { if (painting.stroke) strokeTo(event); });
for (const kind of ["pointerup", "pointercancel"])
  addEventListener(kind, () => {
    if (!painting.stroke) return;
    painting.stroke = null;
    painting.timer = setTimeout(save, PAUSE);
  });

// Draw waits for the mask.
addEventListener("click", (event) => {
  if (!isUnsaved() || !event.target.closest("#draw")) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  painting.drawsNext = true;
  if (painting.timer) save();
}, true);
