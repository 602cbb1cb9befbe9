# syntax=docker/dockerfile:1
# facegen in a container: on the CPU, or on NVIDIA cards with the torch of a CUDA that the driver runs.
#
#   docker build -t facegen .
#   docker build -t facegen:cuda --build-arg TORCH=cu128 .
#   docker build -t facegen-studio --target studio .
#
# docs/containers.md tells how they are run.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG TORCH=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/${TORCH}
ARG EXTRAS=web,faces,imagenet
RUN python -m venv /opt/facegen
ENV PATH=/opt/facegen/bin:${PATH} PIP_DISABLE_PIP_VERSION_CHECK=1
# By itself first: what comes later changes more often, and the registry's torch is built for CUDA.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install "torch>=2.10,<2.14" torchvision --index-url "${TORCH_INDEX}"
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY facegen facegen
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install ".[${EXTRAS}]"

FROM python:${PYTHON}-slim AS base
COPY --from=build /opt/facegen /opt/facegen
ENV PATH=/opt/facegen/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    LC_ALL=C.UTF-8 \
    FACEGEN_CACHE=/cache/facegen \
    HF_HOME=/cache/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib
# Any user may write there, so that --user with the one a mounted folder belongs to works as well.
RUN useradd --uid 1000 --create-home facegen && install -d -m 1777 -o facegen -g facegen /work /cache
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["facegen"]

FROM base AS studio
EXPOSE 7860
# 401 asks for the password.
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 7860, timeout=8); c.request('GET', '/'); raise SystemExit(c.getresponse().status not in (200, 401))"]
CMD ["studio", "box", "--host", "0.0.0.0", "--port", "7860", "--no-browser"]

FROM base
CMD ["--help"]
