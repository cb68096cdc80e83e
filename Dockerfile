# The command line with the weights in the package, for CPUs, without the experiments.
#
#   docker build --tag eamamba .
#   docker run --rm --volume "$PWD:/photos" --user "$(id -u):$(id -g)" eamamba \
#     restore photo.jpg --task denoise_real --output restored.png
FROM python:3.13-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.lock requirements.hashes ./
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE params.yaml ./
COPY eamamba ./eamamba
# Built with the locked setuptools, installed with the locked versions and the CPU build of torch.
RUN python -m venv /opt/tools \
    && awk '/^[^ ]/ { keep = /^setuptools==/ } keep' requirements.hashes > /tmp/setuptools \
    && /opt/tools/bin/pip install --no-deps --require-hashes --requirement /tmp/setuptools \
    && /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && python -m venv /opt/eamamba \
    && /opt/eamamba/bin/pip install --constraint requirements.lock \
       --extra-index-url https://download.pytorch.org/whl/cpu /dist/*.whl

FROM python:3.13-slim-bookworm
COPY --from=build /opt/eamamba /opt/eamamba
ENV PATH=/opt/eamamba/bin:$PATH XDG_CACHE_HOME=/tmp/cache NUMBA_CACHE_DIR=/tmp/cache/numba
RUN useradd --create-home --uid 1000 restorer
USER 1000
WORKDIR /photos
ENTRYPOINT ["eamamba"]
CMD ["--help"]
