"""Nothing comes in, a trained, sampled and judged model of rendered faces goes out: `demo.demo` walks
through all stages."""
