"""An environment in which NCCL's own host code, and PyTorch's over it, form worlds without a GPU.

`python benchmarks/standin/build.py --nccl SOURCES --cuda DIR --torch VENV --into DIR`

Needs: NCCL's sources, of the version that this torch was built with (`torch.cuda.nccl.version()`); CUDA's headers; a virtual
environment with a CUDA build of torch and commcheck's own dependencies; g++; Linux. Takes some minutes and 300 MB.
Afterwards `DIR/python -m commcheck preflight --backend nccl` is a world of stand-in GPUs; `echo 4 > DIR/gpus` says how many.
What commcheck itself looks for are device files: as root, `touch /dev/nvidia0 /dev/nvidia1`, and remove them afterwards.

What is real: bootstrap, topology, rings, transports over sockets and shared memory, proxies, RAS, errors and their words,
torch's process group, watchdog and flight recorder. What is not: memory and kernels of a device, peer access, and all times.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SOURCES = (
    *(
        "*.cc",
        "os/linux*.cc",
        "os/posix*.cc",
        "graph/*.cc",
        "misc/*.cc",
        "transport/**/*.cc",
        "register/*.cc",
        "plugin/**/*.cc",
    ),
    *("nccl_device/*.cc", "scheduler/*.cc", "gin/*.cc", "rma/*.cc", "ras/*.cc", "param/*.cc", "devcomm/**/*.cc"),
)
LEFT_OUT = ("enhcompat.cc", "client.cc", "net_ib_stub.cc", "net_socket_stub.cc")
"""What stands in for functions of older static CUDA runtimes, or for transports on other systems, and ncclras."""
VERBS = "transport/net_ib/gdaki/doca-gpunetio"


class Build:
    """Where everything is."""

    def __init__(self, nccl: Path, cuda: Path, torch: Path, into: Path) -> None:
        self.source, self.cuda, self.torch, self.into = nccl / "src", cuda, torch, into
        self.objects = into / "objects"
        self.version = _version(nccl / "makefiles" / "version.mk")
        major, minor = _cuda_version(cuda / "include" / "cuda.h")
        self.flags = [
            *("-w", "-O1", "-fPIC", "-std=c++17", "-fvisibility=hidden", "-DPROFAPI", "-DNCCL_OS_LINUX=1"),
            *(f"-DCUDA_MAJOR={major}", f"-DCUDA_MINOR={minor}", f'-DSTANDIN_GPUS="{into}/gpus"'),
            *(f"-DDOCA_VERBS_USE_{what}_WRAPPER" for what in ("IBV", "MLX5DV", "CUDA")),
            *(
                f"-I{p}"
                for p in (
                    self.objects / "include",
                    self.source,
                    self.source / "include",
                    self.source / "include/plugin",
                )
            ),
            *(f"-I{self.source / VERBS / p}" for p in ("include", "src")),
            *(f"-I{cuda / 'include'}", f"-I{cuda / 'include' / 'cccl'}"),
        ]

    def headers(self) -> None:
        """What NCCL's own makefile generates or copies."""
        include = self.objects / "include"
        include.mkdir(parents=True, exist_ok=True)
        numbers = dict(zip(("Major", "Minor", "Patch"), self.version, strict=True))
        code = self.version[0] * 10000 + self.version[1] * 100 + self.version[2]
        text = (self.source / "nccl.h.in").read_text()
        for name, value in {**numbers, "Suffix": "", "Version": code}.items():
            text = text.replace(f"${{nccl:{name}}}", str(value))
        (include / "nccl.h").write_text(text)
        shutil.copytree(self.source / "include" / "nccl_device", include / "nccl_device", dirs_exist_ok=True)
        shutil.copy(self.source / "include" / "nccl_device.h", include)
        verbs = include / "nccl_device/gin/gdaki/doca_gpunetio"
        verbs.mkdir(parents=True, exist_ok=True)
        for part in ("common", "device"):
            shutil.copytree(self.source / VERBS / "include" / part, verbs / part, dirs_exist_ok=True)
        shutil.copy(self.source / VERBS / "include" / "doca_gpunetio_device.h", verbs)
        _run(
            [sys.executable, self.source / "misc/generate_git_version.py", include / "nccl_git_version.h"],
            cwd=self.source,
        )

    def tables(self) -> list[Path]:
        """The tables of kernels that NCCL's generators write, and `generated.h` for ours."""
        folder = self.objects / "tables"
        symmetric = folder / "symmetric"
        symmetric.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, self.source / "device/generate.py", folder])
        _run([sys.executable, self.source / "device/symmetric/generate.py", symmetric])
        table = (folder / "device_table.cu").read_text()
        table = table[table.index("ncclDevFuncTable[] = {") :]
        names = {int(n): name for n, name in re.findall(r"/\*\s*(\d+)\*/ ncclDevFunc_(\w+)", table)}
        kernels = sorted({*re.findall(r"void (ncclDevKernel\w+)\(ncclDevKernelArgs4K", _text(folder / "host_table.cc")), "ncclDevKernel_Generic"})  # fmt: skip
        others = sorted(set(re.findall(r"void (\w+)\(ncclSymkDevWorkArgs4K", _text(symmetric / "sym_kernels_host.cc"))))
        lines = [
            f"static const char* function_names[] = {{{', '.join(_quoted(names.get(n, '')) for n in range(max(names) + 1))}}};"
        ]
        # Equal functions could be made one, and each is looked up by its address.
        lines += [f'void {k}(ncclDevKernelArgs4K const) {{ asm volatile("# {k}"); }}' for k in kernels]
        lines += [f"void {k}(ncclSymkDevWorkArgs4K const) {{}}" for k in others]
        lines += [f"static void* kernel_symbols[] = {{{', '.join(f'(void*){k}' for k in kernels)}}};"]
        (self.objects / "include" / "generated.h").write_text("\n".join(lines) + "\n")
        return [folder / "host_table.cc", symmetric / "sym_kernels_host.cc"]

    def compiled(self, sources: Iterable[Path]) -> list[Path]:
        """The object files of some sources; those that are newer than theirs are kept."""

        def one(source: Path) -> Path:
            target = self.objects / (re.sub(r"\W", "_", str(source)) + ".o")
            if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
                _run(["g++", *self.flags, "-c", source, "-o", target])
            return target

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(one, sources))

    def missing(self, library: Path) -> list[Path]:
        """The rest of the runtime that torch and NCCL link against: each function says that it is not there."""
        wanted = {name for file in (*self.torch_libraries(), library) for name in _symbols(file, "--undefined-only") if "libcudart" in name or name.startswith("cuda")}  # fmt: skip
        wanted = {name.partition("@")[0] for name in wanted}
        there = {name.partition("@")[0] for name in _symbols(self.into / "lib/libcudart.so.13", "--defined-only")}
        lines = ["#include <cstdio>"]
        for name in sorted(wanted - there):
            what = f'fprintf(stderr, "[stand-in] {name} is not here\\n"); return 801;'
            lines.append(f'extern "C" __attribute__((visibility("default"))) int {name}(...) {{ {what} }}')
        source = self.objects / "missing.cpp"
        source.write_text("\n".join(lines) + "\n")
        return self.compiled([source])

    def torch_libraries(self) -> list[Path]:
        """Torch's own libraries."""
        return sorted(next(self.torch.glob("lib/python3*/site-packages/torch/lib")).glob("*.so"))

    def driver(self) -> Path:
        """A libcuda that torch can load: of it nothing is used but whether a context is there."""
        known = {
            "cuDevicePrimaryCtxGetState": "int, unsigned* flags, int* active",
            "cuGetErrorString": "int, const char** text",
        }
        bodies = {"cuDevicePrimaryCtxGetState": "if (flags) *flags = 0; if (active) *active = 1; return 0;", "cuGetErrorString": 'if (text) *text = "error"; return 0;'}  # fmt: skip
        lines = []
        rtc = next(f for f in self.torch_libraries() if f.name == "libcaffe2_nvrtc.so")
        for name in sorted(n.partition("@")[0] for n in _symbols(rtc, "--undefined-only") if n.startswith("cu")):
            body = bodies.get(
                name, "return 0;" if name in ("cuCtxGetCurrent", "cuCtxSetCurrent", "cuInit") else "return 801;"
            )
            lines.append(f'extern "C" int {name}({known.get(name, "...")}) {{ {body} }}')
        source = self.objects / "driver.cpp"
        source.write_text("\n".join(lines) + "\n")
        target = self.into / "lib/libcuda.so.1"
        _run(["g++", "-w", "-shared", "-fPIC", source, "-o", target, "-Wl,-soname,libcuda.so.1"])
        return target

    def libraries(self) -> None:
        """Everything, from the sources to the libraries."""
        self.headers()
        tables = self.tables()
        own = sorted({p for pattern in SOURCES for p in self.source.glob(pattern) if p.name not in LEFT_OUT})
        own += sorted((self.source / VERBS / "src").glob("*.cpp"))
        nccl = self.compiled([*own, *tables, HERE / "nccl_kernels.cpp"])
        (runtime,) = self.compiled([HERE / "cuda.cpp"])
        lib = self.into / "lib"
        lib.mkdir(exist_ok=True)
        versions = self.objects / "versions.map"
        versions.write_text("libcudart.so.13 { global: *; };\n")
        cudart = ["g++", "-shared", "-o", lib / "libcudart.so.13", "-Wl,-soname,libcudart.so.13", f"-Wl,--version-script={versions}", runtime]  # fmt: skip
        _run(cudart)
        _run([
            "g++", "-shared", "-o", lib / "libnccl.so.2", *nccl, lib / "libcudart.so.13", "-Wl,-soname,libnccl.so.2",
            f"-Wl,--version-script={self.source / 'libnccl.map'}", "-Wl,--disable-new-dtags", f"-Wl,-rpath,{lib}", "-ldl", "-lrt",
        ])  # fmt: skip
        _run([*cudart, *self.missing(lib / "libnccl.so.2")])
        _run(
            [
                "g++",
                *self.flags,
                "-shared",
                HERE / "nvml.cpp",
                "-o",
                lib / "libnvidia-ml.so.1",
                "-Wl,-soname,libnvidia-ml.so.1",
            ]
        )
        self.driver()

    def environment(self) -> None:
        """A copy of torch's environment, by links, with our libraries in place of the real ones."""
        copy = self.into / "env"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.torch, copy, symlinks=True, copy_function=os.link)
        packages = next(copy.glob("lib/python3*/site-packages"))
        runtime = next(packages.glob("nvidia/**/libcudart.so.13"))
        nccl = next(packages.glob("nvidia/**/libnccl.so.2"))
        for there, name in (
            (runtime, "libcudart.so.13"),
            (nccl, "libnccl.so.2"),
            (runtime.with_name("libcuda.so.1"), "libcuda.so.1"),
        ):
            there.unlink(missing_ok=True)
            there.symlink_to(self.into / "lib" / name)
        shutil.copy(HERE / "torch_ops.py", packages / "standin_torch_ops.py")
        (packages / "standin.pth").write_text(f"{ROOT}\nimport standin_torch_ops\n")
        (self.into / "gpus").write_text("2\n")
        python = self.into / "python"
        python.unlink(missing_ok=True)
        python.write_text(f'#!/bin/sh\nexec {copy}/bin/python "$@"\n')
        python.chmod(0o755)


def _version(file: Path) -> tuple[int, int, int]:
    text = _text(file)
    major, minor, patch = (re.search(rf"NCCL_{n}\s*:=\s*(\d+)", text) for n in ("MAJOR", "MINOR", "PATCH"))
    if major is None or minor is None or patch is None:
        sys.exit(f"{file}: no version of NCCL; --nccl is the folder of its sources")
    return int(major[1]), int(minor[1]), int(patch[1])


def _cuda_version(file: Path) -> tuple[int, int]:
    found = re.search(r"#define CUDA_VERSION (\d+)", _text(file))
    if found is None:
        sys.exit(f"{file}: no CUDA_VERSION; --cuda is the folder that has include/cuda.h")
    return int(found[1]) // 1000, int(found[1]) % 1000 // 10


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as e:
        sys.exit(f"{file}: {e.strerror}")


def _quoted(text: str) -> str:
    return f'"{text}"'


def _symbols(library: Path, which: str) -> list[str]:
    told = subprocess.run(["nm", "-D", which, str(library)], capture_output=True, text=True, check=True).stdout
    return [line.split()[-1] for line in told.splitlines()]


def _run(command: list[object], cwd: Path | None = None) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=cwd, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(str(w) for w in command)[:300]}\n{done.stderr[-2000:]}")


def main() -> None:
    """Build it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in (("nccl", "NCCL's sources"), ("cuda", "the folder that has include/cuda.h"), ("torch", "the environment"), ("into", "where to build")):  # fmt: skip
        parser.add_argument(f"--{name}", type=Path, required=True, help=what)
    args = parser.parse_args()
    build = Build(*(getattr(args, name).resolve() for name in ("nccl", "cuda", "torch", "into")))
    build.libraries()
    build.environment()
    print(f"{build.into / 'python'}: torch over NCCL {'.'.join(map(str, build.version))} and stand-in GPUs")


if __name__ == "__main__":
    main()
