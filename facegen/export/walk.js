"use strict";
/* From a seed and what is asked to the pixels of a face. `served` runs in a worker, which is made of the
   source of these classes and functions: a page that was opened as a file may not load a worker's script. */

/** The graphs of a model, and the walk between them. Rows of what is asked are arrays of numbers. */
class Drawing {
  /** `files` are bytes by name; `config` is that of the page. */
  static async open(files, config) {
    const address = URL.createObjectURL(new Blob([files.runtime], { type: "text/javascript" }));
    const ort = await import(address);
    URL.revokeObjectURL(address);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = files.kernels;
    const graphs = {};
    for (const name of ["denoiser", "decoder", "conditioner"]) {
      if (files[name]) graphs[name] = await ort.InferenceSession.create(files[name]);
    }
    return new Drawing(ort, graphs, config);
  }

  constructor(ort, graphs, config) {
    [this.ort, this.graphs, this.config] = [ort, graphs, config];
    this.shape = config.sample_shape;
    this.size = this.shape.reduce((product, axis) => product * axis, 1);
  }

  /** One face, {width, height, pixels} with four bytes a pixel; null when `goesOn()` says no. It is called
      before each call of the network, with how many are done and how many there are. */
  async face({ row, seed, steps, guidance }, goesOn) {
    const { nothing, walks } = this.config.page;
    const walk = walks[steps];
    const alone = await this.told([row]);
    const both = guidance === 1 ? null : await this.told([row, nothing]);
    const noise = new Noise(seed);
    const found = [];
    let x = new Float32Array(this.size);
    for (const [index, call] of walk.calls.entries()) {
      if (!(await goesOn(index, walk.calls.length))) return null;
      x = this.moved(x, call, found, call.noise ? noise.normal(this.size) : null);
      const guided = both && call.guided;
      const output = await this.answered(x, call, guided ? both : alone, guided ? guidance : null);
      found.push(this.read(x, call, output));
      if (found.length > walk.lookback) found[found.length - 1 - walk.lookback] = null;
    }
    return this.decoded(found[walk.end]);
  }

  /** The state at a call, of the one before and the x0 since. */
  moved(x, call, found, noise) {
    const next = new Float32Array(this.size);
    const terms = call.x0.map(([back, weight]) => [found[found.length - back], weight]);
    for (let i = 0; i < this.size; i++) {
      let sum = call.keep * x[i];
      for (const [x0, weight] of terms) sum += weight * x0[i];
      next[i] = noise ? sum + call.noise * noise[i] : sum;
    }
    return next;
  }

  /** What the network says; with a `guidance`, led away from what it says to nothing. */
  async answered(x, call, told, guidance) {
    const rows = guidance === null ? 1 : 2;
    const shown = new Float32Array(rows * this.size);
    for (let i = 0; i < shown.length; i++) shown[i] = call.in * x[i % this.size];
    const given = {
      x_t: new this.ort.Tensor("float32", shown, [rows, ...this.shape]),
      timestep: new this.ort.Tensor("float32", new Float32Array(rows).fill(call.t), [rows]),
    };
    const { data } = (await this.graphs.denoiser.run({ ...given, ...told })).output;
    if (guidance === null) return data;
    return data.subarray(0, this.size).map((asked, i) => {
      const other = data[this.size + i];
      return other + guidance * (asked - other);
    });
  }

  /** x0 of an output. */
  read(x, call, output) {
    const bound = this.config.sampling.clip_x0 ?? Infinity;
    return x.map((each, i) => Math.max(-bound, Math.min(bound, call.x * each + call.out * output[i])));
  }

  /** What the network is told of rows. */
  async told(rows) {
    if (!this.graphs.conditioner) return {};
    const { inputs } = this.config.page;
    const numbers = rows.flat();
    const [data, shape] =
      inputs === "int64"
        ? [BigInt64Array.from(numbers, BigInt), [rows.length]]
        : [Float32Array.from(numbers), [rows.length, rows[0].length]];
    return this.graphs.conditioner.run({ inputs: new this.ort.Tensor(inputs, data, shape) });
  }

  async decoded(x0) {
    const given = new this.ort.Tensor("float32", x0, [1, ...this.shape]);
    const { data, dims } = (await this.graphs.decoder.run({ x0: given })).images;
    const [height, width] = dims.slice(2);
    const pixels = new Uint8ClampedArray(4 * height * width).fill(255); // rounds to even and clamps
    for (let i = 0; i < height * width; i++) {
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = (data[c * height * width + i] + 1) * 127.5;
    }
    return { width, height, pixels };
  }
}

/** The worker: takes {open: [files, config]}, {draw: [asked, ...]} and {stop: true}; answers {opened}, {step},
    {face}, {done} and {failed}. */
function served() {
  let drawing = null;
  let stopped = false;
  const answers = {
    async open([files, config]) {
      drawing = await Drawing.open(files, config);
      postMessage({ opened: true });
    },
    async draw(asked) {
      stopped = false;
      for (const [number, each] of asked.entries()) {
        const face = await drawing.face(each, async (done, of) => {
          postMessage({ step: { number, done, of } });
          await new Promise((resolve) => setTimeout(resolve)); // so that a stop can come in
          return !stopped;
        });
        if (!face) break;
        postMessage({ face: { ...face, ...each } }, [face.pixels.buffer]);
      }
      postMessage({ done: { stopped } });
    },
    async stop() {
      stopped = true;
    },
  };
  self.onmessage = ({ data }) => {
    const [[name, given]] = Object.entries(data);
    answers[name](given).catch((error) => postMessage({ failed: String(error) }));
  };
}
