#!/bin/sh
# Build mamba-ssm with its CUDA kernel for the GPU of this machine, without network access:
#     sh benchmarks/build_mamba_ssm.sh mamba_ssm-2.3.2.post1.tar.gz
# On a machine with network access, get the archive with
#     MAMBA_SKIP_CUDA_BUILD=TRUE pip download mamba-ssm --no-deps --no-binary :all: --no-build-isolation
# Needs nvcc, ninja and a CUDA build of PyTorch. Installs the kernel into this Python's
# site-packages; the mamba_ssm backend needs only the module selective_scan_cuda.
set -eu
archive=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tar -xzf "$archive" -C "$folder" --strip-components=1
cd "$folder"
# setup.py lists every GPU generation. Without that list, PyTorch builds for this GPU only.
sed -i -E 's/cc_flag\.append\("(-gencode|arch=compute_.*)"\)/pass/' setup.py
TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST:-$(
    python3 -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())'
)}
export TORCH_CUDA_ARCH_LIST
export MAMBA_KEEP_CUDA_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE MAX_JOBS="${MAX_JOBS:-$(nproc)}"
python3 -m pip install --no-build-isolation --no-deps --no-index --verbose . >build.log 2>&1 ||
    { tail -n 60 build.log; exit 1; }
cd /
python3 -c 'import torch, selective_scan_cuda; print("built", selective_scan_cuda.__file__)'
