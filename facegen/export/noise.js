"use strict";
/* The normal numbers of torch.Generator().manual_seed(seed) on a CPU, sixteen or more at a time.

   Matsumoto and Nishimura 1998, "Mersenne Twister"; Box and Muller 1958. torch fills everything with uniform
   numbers first and then makes normal ones of sixteen at a time, eight radii and eight angles; of a rest it
   draws the last sixteen once more (ATen/native/cpu/DistributionTemplates.h, normal_fill). */
class Noise {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const last = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, last) + i;
    }
    this.next = 624;
  }

  /** Float32Array of `count` standard normal numbers; each call gives the next ones. */
  normal(count) {
    if (count < 16) throw new RangeError("fewer than sixteen numbers are drawn in another way");
    const drawn = Float32Array.from({ length: count }, () => this.uniform());
    for (let start = 0; start + 16 <= count; start += 16) toNormal(drawn, start);
    if (count % 16) {
      for (let i = count - 16; i < count; i++) drawn[i] = this.uniform();
      toNormal(drawn, count - 16);
    }
    return drawn;

    function toNormal(numbers, start) {
      for (let i = start; i < start + 8; i++) {
        const radius = Math.sqrt(-2 * Math.log(1 - numbers[i]));
        const angle = 2 * Math.PI * numbers[i + 8];
        numbers[i] = radius * Math.cos(angle);
        numbers[i + 8] = radius * Math.sin(angle);
      }
    }
  }

  /** In [0, 1), of 24 bits. */
  uniform() {
    return (this.bits() & 0xffffff) / 0x1000000;
  }

  bits() {
    if (this.next === 624) this.twist();
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  twist() {
    const state = this.state;
    for (let i = 0; i < 624; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }
}
