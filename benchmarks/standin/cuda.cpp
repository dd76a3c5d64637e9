// A stand-in for the CUDA runtime, so that PyTorch's and NCCL's own host code runs where no GPU is: "device" memory is
// memory of the host, a stream is a thread with a queue. Only what they ask for is here; what else torch links against
// is made by build.py, says that it is not there, and fails. Waiting spins, as it does with CUDA.
//
// How many devices there are is read from the file STANDIN_GPUS (the compiler is told its name).
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))
using Error = cudaError_t;
using Lock = std::lock_guard<std::mutex>;

// Only the rings of the Simple protocol are there (nccl_kernels.cpp), and memory that a process maps by itself.
static __attribute__((constructor)) void settings() {
  setenv("NCCL_ALGO", "Ring", 0);
  setenv("NCCL_PROTO", "Simple", 0);
  setenv("NCCL_P2P_LL_THRESHOLD", "0", 0);
  setenv("NCCL_NVLS_ENABLE", "0", 0);
  setenv("NCCL_CUMEM_ENABLE", "0", 0);
}

static thread_local int current = 0;
static thread_local Error last = cudaSuccess;

static Error said(Error error) {
  if (error != cudaSuccess) last = error;
  return error;
}

EXPORT Error cudaGetLastError() {
  Error error = last;
  last = cudaSuccess;
  return error;
}
EXPORT Error cudaPeekAtLastError() { return last; }

static std::pair<const char*, const char*> words(Error error) {
  switch (error) {
    case cudaSuccess: return {"cudaSuccess", "no error"};
    case cudaErrorInvalidDevice: return {"cudaErrorInvalidDevice", "invalid device ordinal"};
    case cudaErrorNoDevice: return {"cudaErrorNoDevice", "no CUDA-capable device is detected"};
    case cudaErrorNotReady: return {"cudaErrorNotReady", "device not ready"};
    case cudaErrorNotSupported: return {"cudaErrorNotSupported", "operation not supported"};
    case cudaErrorInvalidValue: return {"cudaErrorInvalidValue", "invalid argument"};
    case cudaErrorMemoryAllocation: return {"cudaErrorMemoryAllocation", "out of memory"};
    default: return {"cudaErrorUnknown", "unknown error"};
  }
}
EXPORT const char* cudaGetErrorName(Error error) { return words(error).first; }
EXPORT const char* cudaGetErrorString(Error error) { return words(error).second; }

// --- devices ---------------------------------------------------------------------------------------------------

// As CUDA_VISIBLE_DEVICES leaves them, by ordinals: what follows a wrong one is not seen.
static std::vector<int>& visible() {
  static auto* seen = [] {
    auto* found = new std::vector<int>;
    int count = 0;
    if (FILE* file = fopen(STANDIN_GPUS, "r")) {
      if (fscanf(file, "%d", &count) != 1) count = 0;
      fclose(file);
    }
    const char* listed = getenv("CUDA_VISIBLE_DEVICES");
    if (listed == nullptr) {
      for (int i = 0; i < count; i++) found->push_back(i);
      return found;
    }
    std::string text(listed);
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find(',', at), text.size());
      std::string one = text.substr(at, end - at);
      char* rest = nullptr;
      long device = strtol(one.c_str(), &rest, 10);
      if (one.empty() || *rest || device < 0 || device >= count) break;
      if (std::count(found->begin(), found->end(), (int)device)) break;
      found->push_back((int)device);
      at = end + 1;
    }
    return found;
  }();
  return *seen;
}
static int count() { return (int)visible().size(); }
static bool there(int device) { return device >= 0 && device < count(); }
static int bus(int device) { return 1 + visible()[device]; }
static Error absent() { return said(count() ? cudaErrorInvalidDevice : cudaErrorNoDevice); }

static const size_t TOTAL = 80ULL << 30;
static const int PROCESSORS = 132, MAJOR = 9;

EXPORT Error cudaGetDeviceCount(int* number) {
  *number = count();
  return *number ? cudaSuccess : said(cudaErrorNoDevice);
}
EXPORT Error cudaGetDevice(int* device) {
  *device = current;
  return count() ? cudaSuccess : absent();
}
EXPORT Error cudaSetDevice(int device) {
  if (!there(device)) return absent();
  current = device;
  return cudaSuccess;
}
EXPORT Error cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (!there(device)) return absent();
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "Stand-in GPU");
  memset(p->uuid.bytes, bus(device), sizeof p->uuid.bytes);
  p->totalGlobalMem = TOTAL;
  p->major = MAJOR;
  p->multiProcessorCount = PROCESSORS;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048;
  p->pciBusID = bus(device);
  p->sharedMemPerBlock = 48 << 10;
  p->sharedMemPerBlockOptin = 227 << 10;
  p->sharedMemPerMultiprocessor = 228 << 10;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->l2CacheSize = 50 << 20;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 0x7fffffff;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->unifiedAddressing = p->concurrentKernels = 1;
  p->textureAlignment = 512;
  p->asyncEngineCount = 3;
  return cudaSuccess;
}
EXPORT Error cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!there(device)) return absent();
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = MAJOR; break;
    case cudaDevAttrMultiProcessorCount: *value = PROCESSORS; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = 32; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 48 << 10; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 227 << 10; break;
    case cudaDevAttrPciBusId: *value = bus(device); break;
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrCanUseHostPointerForRegisteredMem: *value = 1; break;
    default: *value = 0; break;
  }
  return cudaSuccess;
}
EXPORT Error cudaDeviceGetPCIBusId(char* text, int size, int device) {
  if (!there(device)) return absent();
  snprintf(text, size, "0000:%02X:00.0", bus(device));
  return cudaSuccess;
}
EXPORT Error cudaDeviceGetByPCIBusId(int* device, const char* text) {
  for (int i = 0; i < count(); i++) {
    char own[32];
    cudaDeviceGetPCIBusId(own, sizeof own, i);
    if (!strcasecmp(own, text)) {
      *device = i;
      return cudaSuccess;
    }
  }
  return said(cudaErrorInvalidDevice);
}
EXPORT Error cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return cudaSuccess;
}
EXPORT Error cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return cudaSuccess;
}
EXPORT Error cudaDeviceEnablePeerAccess(int, unsigned) { return cudaSuccess; }
EXPORT Error cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
EXPORT Error cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
EXPORT Error cudaMemGetInfo(size_t* free, size_t* total) {
  *free = TOTAL - (1 << 30);
  *total = TOTAL;
  return cudaSuccess;
}
EXPORT Error cudaDeviceGetLimit(size_t* value, cudaLimit) {
  *value = 0;
  return cudaSuccess;
}
EXPORT Error cudaDeviceSetLimit(cudaLimit, size_t) { return cudaSuccess; }

// --- streams ---------------------------------------------------------------------------------------------------

struct Stream {
  int flags = 0, priority = 0, device = current;
  unsigned long long id;

  Stream() {
    static std::atomic<unsigned long long> number{1};
    id = number++;
    std::thread([this] { work(); }).detach();
  }
  void put(std::function<void()> task) {
    Lock lock(mutex);
    tasks.push_back(std::move(task));
    taken++;
    changed.notify_all();
  }
  bool idle() {
    Lock lock(mutex);
    return done == taken;
  }
  void wait() {
    uint64_t upto;
    {
      Lock lock(mutex);
      upto = taken;
    }
    for (;;) {
      {
        Lock lock(mutex);
        if (done >= upto) return;
      }
      for (int i = 0; i < 2000; i++) asm volatile("" ::: "memory");  // as CUDA waits: it spins
    }
  }
  void end() {
    Lock lock(mutex);
    ends = true;
    changed.notify_all();
  }

 private:
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> tasks;
  uint64_t taken = 0, done = 0;
  bool ends = false;

  void work() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return ends || !tasks.empty(); });
      if (tasks.empty()) return;  // nobody frees it: it may still be spoken of
      auto task = std::move(tasks.front());
      tasks.pop_front();
      lock.unlock();
      task();
      lock.lock();
      done++;
    }
  }
};

static std::mutex streams_lock;
static std::map<Stream*, bool> streams;

static Stream* default_stream() {
  static Stream* by_device[64];
  Lock lock(streams_lock);
  Stream*& found = by_device[current];
  if (!found) streams[found = new Stream] = true;
  return found;
}
static Stream* of(cudaStream_t stream) {
  bool special = (uintptr_t)stream <= (uintptr_t)cudaStreamPerThread;  // null, legacy, per thread
  return special ? default_stream() : (Stream*)stream;
}
EXPORT Error cudaStreamCreateWithPriority(cudaStream_t* made, unsigned flags, int priority) {
  auto* stream = new Stream;
  stream->flags = (int)flags;
  stream->priority = priority;
  Lock lock(streams_lock);
  streams[stream] = true;
  *made = (cudaStream_t)stream;
  return cudaSuccess;
}
EXPORT Error cudaStreamCreateWithFlags(cudaStream_t* made, unsigned flags) {
  return cudaStreamCreateWithPriority(made, flags, 0);
}
EXPORT Error cudaStreamCreate(cudaStream_t* made) { return cudaStreamCreateWithPriority(made, 0, 0); }
EXPORT Error cudaStreamDestroy(cudaStream_t stream) {
  Lock lock(streams_lock);
  streams.erase((Stream*)stream);
  ((Stream*)stream)->end();
  return cudaSuccess;
}
EXPORT Error cudaStreamSynchronize(cudaStream_t stream) {
  of(stream)->wait();
  return cudaSuccess;
}
EXPORT Error cudaStreamQuery(cudaStream_t stream) { return of(stream)->idle() ? cudaSuccess : cudaErrorNotReady; }
EXPORT Error cudaStreamGetPriority(cudaStream_t stream, int* value) {
  *value = of(stream)->priority;
  return cudaSuccess;
}
EXPORT Error cudaStreamGetFlags(cudaStream_t stream, unsigned* value) {
  *value = of(stream)->flags;
  return cudaSuccess;
}
EXPORT Error cudaStreamGetId(cudaStream_t stream, unsigned long long* value) {
  *value = of(stream)->id;
  return cudaSuccess;
}
EXPORT Error cudaStreamGetDevice(cudaStream_t stream, int* value) {
  *value = of(stream)->device;
  return cudaSuccess;
}
EXPORT Error cudaDeviceSynchronize() {
  std::vector<Stream*> own;
  {
    Lock lock(streams_lock);
    for (auto& one : streams)
      if (one.first->device == current) own.push_back(one.first);
  }
  for (auto* stream : own) stream->wait();
  return cudaSuccess;
}
EXPORT Error cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
EXPORT Error cudaStreamGetCaptureInfo(cudaStream_t, cudaStreamCaptureStatus* status, unsigned long long* id,
                                      cudaGraph_t* graph, const cudaGraphNode_t** nodes,
                                      const cudaGraphEdgeData** edges, size_t* number) {
  *status = cudaStreamCaptureStatusNone;
  if (id) *id = 0;
  if (graph) *graph = nullptr;
  if (nodes) *nodes = nullptr;
  if (edges) *edges = nullptr;
  if (number) *number = 0;
  return cudaSuccess;
}
EXPORT Error cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return cudaSuccess; }
EXPORT Error cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  of(stream)->put([=] { function(argument); });
  return cudaSuccess;
}
EXPORT Error cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t function, void* argument, unsigned) {
  of(stream)->put([=] { function(stream, cudaSuccess, argument); });
  return cudaSuccess;
}

// --- events ----------------------------------------------------------------------------------------------------

struct Moment {
  std::atomic<bool> passed{false};
  std::chrono::steady_clock::time_point at;
  void spin() {
    while (!passed) std::this_thread::yield();
  }
  void sleep() {  // a stream that waits uses no processor of the host
    while (!passed) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
};
struct Event {
  std::mutex mutex;
  std::shared_ptr<Moment> moment;
  std::shared_ptr<Moment> now() {
    Lock lock(mutex);
    return moment;
  }
};
EXPORT Error cudaEventCreateWithFlags(cudaEvent_t* made, unsigned) {
  *made = (cudaEvent_t) new Event;
  return cudaSuccess;
}
EXPORT Error cudaEventCreate(cudaEvent_t* made) { return cudaEventCreateWithFlags(made, 0); }
EXPORT Error cudaEventDestroy(cudaEvent_t event) {
  delete (Event*)event;
  return cudaSuccess;
}
EXPORT Error cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  auto moment = std::make_shared<Moment>();
  {
    Lock lock(((Event*)event)->mutex);
    ((Event*)event)->moment = moment;
  }
  of(stream)->put([moment] {
    moment->at = std::chrono::steady_clock::now();
    moment->passed = true;
  });
  return cudaSuccess;
}
EXPORT Error cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}
EXPORT Error cudaEventSynchronize(cudaEvent_t event) {
  if (auto moment = ((Event*)event)->now()) moment->spin();
  return cudaSuccess;
}
EXPORT Error cudaEventQuery(cudaEvent_t event) {
  auto moment = ((Event*)event)->now();
  return !moment || moment->passed ? cudaSuccess : cudaErrorNotReady;
}
EXPORT Error cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (auto moment = ((Event*)event)->now()) of(stream)->put([moment] { moment->sleep(); });
  return cudaSuccess;
}
EXPORT Error cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  auto a = ((Event*)from)->now(), b = ((Event*)to)->now();
  *milliseconds = a && b ? std::chrono::duration<float, std::milli>(b->at - a->at).count() : 0;
  return cudaSuccess;
}

// --- memory: each block is a file in memory, which another process can open ------------------------------------

struct Block {
  char* at;
  size_t size;
  int file;
  int device;
  cudaMemoryType type;
};
static std::mutex memory_lock;
static std::map<uintptr_t, Block> blocks;

static Block* block(const void* pointer) {
  auto next = blocks.upper_bound((uintptr_t)pointer);
  if (next == blocks.begin()) return nullptr;
  auto& found = (--next)->second;
  return (const char*)pointer < found.at + found.size ? &found : nullptr;
}
static bool known(const void* pointer) {
  Lock lock(memory_lock);
  return block(pointer) != nullptr;
}
static Error mapped(void** pointer, int file, size_t size, cudaMemoryType type) {
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (at == MAP_FAILED) {
    close(file);
    return said(cudaErrorMemoryAllocation);
  }
  Lock lock(memory_lock);
  blocks[(uintptr_t)at] = {(char*)at, size, file, current, type};
  *pointer = at;
  return cudaSuccess;
}
static Error allocated(void** pointer, size_t asked, cudaMemoryType type) {
  *pointer = nullptr;
  if (!asked) return cudaSuccess;
  size_t size = (asked + 4095) / 4096 * 4096;
  int file = asked > TOTAL ? -1 : memfd_create("standin-gpu", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, (off_t)size)) return said(cudaErrorMemoryAllocation);
  return mapped(pointer, file, size, type);
}
static Error freed(void* pointer) {
  if (!pointer) return cudaSuccess;
  Lock lock(memory_lock);
  auto found = blocks.find((uintptr_t)pointer);
  if (found == blocks.end()) return said(cudaErrorInvalidValue);
  munmap(found->second.at, found->second.size);
  close(found->second.file);
  blocks.erase(found);
  return cudaSuccess;
}
EXPORT Error cudaMalloc(void** pointer, size_t size) { return allocated(pointer, size, cudaMemoryTypeDevice); }
EXPORT Error cudaMallocAsync(void** pointer, size_t size, cudaStream_t) { return cudaMalloc(pointer, size); }
EXPORT Error cudaMallocFromPoolAsync(void** pointer, size_t size, cudaMemPool_t, cudaStream_t) {
  return cudaMalloc(pointer, size);
}
EXPORT Error cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps*) {
  *pool = (cudaMemPool_t)1;
  return cudaSuccess;
}
EXPORT Error cudaMemPoolDestroy(cudaMemPool_t) { return cudaSuccess; }
EXPORT Error cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
EXPORT Error cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
EXPORT Error cudaFree(void* pointer) { return freed(pointer); }
EXPORT Error cudaFreeAsync(void* pointer, cudaStream_t stream) {
  of(stream)->put([=] { freed(pointer); });
  return cudaSuccess;
}
EXPORT Error cudaHostAlloc(void** pointer, size_t size, unsigned) {
  return allocated(pointer, size, cudaMemoryTypeHost);
}
EXPORT Error cudaMallocHost(void** pointer, size_t size) { return allocated(pointer, size, cudaMemoryTypeHost); }
EXPORT Error cudaFreeHost(void* pointer) { return freed(pointer); }
EXPORT Error cudaHostRegister(void* pointer, size_t size, unsigned) {
  Lock lock(memory_lock);
  if (!block(pointer)) blocks[(uintptr_t)pointer] = {(char*)pointer, size, -1, current, cudaMemoryTypeHost};
  return cudaSuccess;
}
EXPORT Error cudaHostUnregister(void* pointer) {
  Lock lock(memory_lock);
  blocks.erase((uintptr_t)pointer);
  return cudaSuccess;
}
EXPORT Error cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return cudaSuccess;
}
EXPORT Error cudaPointerGetAttributes(cudaPointerAttributes* found, const void* pointer) {
  memset(found, 0, sizeof *found);
  Lock lock(memory_lock);
  auto* own = block(pointer);
  found->device = own ? own->device : current;
  found->type = own ? own->type : cudaMemoryTypeUnregistered;
  found->devicePointer = own ? (void*)pointer : nullptr;
  found->hostPointer = (void*)pointer;
  return cudaSuccess;
}
struct Handle {
  int pid, file;
  size_t size;
};
EXPORT Error cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* pointer) {
  Lock lock(memory_lock);
  auto* own = block(pointer);
  if (!own || own->file < 0) return said(cudaErrorInvalidValue);
  Handle told{getpid(), own->file, own->size};
  memset(handle, 0, sizeof *handle);
  memcpy(handle, &told, sizeof told);
  return cudaSuccess;
}
EXPORT Error cudaIpcOpenMemHandle(void** pointer, cudaIpcMemHandle_t handle, unsigned) {
  Handle told;
  memcpy(&told, &handle, sizeof told);
  std::string path = "/proc/" + std::to_string(told.pid) + "/fd/" + std::to_string(told.file);
  int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  return file < 0 ? said(cudaErrorInvalidValue) : mapped(pointer, file, told.size, cudaMemoryTypeDevice);
}
EXPORT Error cudaIpcCloseMemHandle(void* pointer) { return freed(pointer); }

EXPORT Error cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind, cudaStream_t stream) {
  if (!size) return cudaSuccess;
  if (!known(from)) {  // pageable: it may be used again as soon as this returns
    auto kept = std::make_shared<std::string>((const char*)from, size);
    of(stream)->put([=] { memcpy(to, kept->data(), size); });
    return cudaSuccess;
  }
  of(stream)->put([=] { memmove(to, from, size); });
  if (!known(to)) of(stream)->wait();
  return cudaSuccess;
}
EXPORT Error cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  Error error = cudaMemcpyAsync(to, from, size, kind, nullptr);
  of(nullptr)->wait();
  return error;
}
EXPORT Error cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t size, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, size, cudaMemcpyDefault, stream);
}
EXPORT Error cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                               size_t height, cudaMemcpyKind, cudaStream_t stream) {
  of(stream)->put([=] {
    for (size_t row = 0; row < height; row++)
      memcpy((char*)to + row * to_pitch, (const char*)from + row * from_pitch, width);
  });
  of(stream)->wait();
  return cudaSuccess;
}
EXPORT Error cudaMemsetAsync(void* to, int value, size_t size, cudaStream_t stream) {
  of(stream)->put([=] { memset(to, value, size); });
  return cudaSuccess;
}
EXPORT Error cudaMemset(void* to, int value, size_t size) {
  cudaMemsetAsync(to, value, size, nullptr);
  of(nullptr)->wait();
  return cudaSuccess;
}
EXPORT Error cudaMemcpyToSymbol(const void*, const void*, size_t, size_t, cudaMemcpyKind) { return cudaSuccess; }
EXPORT Error cudaGetSymbolAddress(void** pointer, const void* symbol) {
  *pointer = (void*)symbol;
  return cudaSuccess;
}

// --- kernels: NCCL's are functions of this process; torch's are known by name, and none of them can run --------

using HostKernel = void (*)(void* arguments);
static std::mutex kernels_lock;

static std::unordered_map<const void*, std::string>& names() {
  static auto* all = new std::unordered_map<const void*, std::string>;
  return *all;
}
static std::unordered_map<const void*, HostKernel>& host_kernels() {
  static auto* all = new std::unordered_map<const void*, HostKernel>;
  return *all;
}
EXPORT void standin_kernel(const void* symbol, HostKernel kernel) {
  Lock lock(kernels_lock);
  host_kernels()[symbol] = kernel;
}
EXPORT void** __cudaRegisterFatBinary(void*) { return (void**)new void*; }
EXPORT void __cudaRegisterFatBinaryEnd(void**) {}
EXPORT void __cudaUnregisterFatBinary(void**) {}
EXPORT char __cudaInitModule(void**) { return 1; }
EXPORT void __cudaRegisterFunction(void**, const char* symbol, char*, const char* name, int, uint3*, uint3*, dim3*,
                                   dim3*, int*) {
  Lock lock(kernels_lock);
  names()[symbol] = name;
}
EXPORT void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
EXPORT Error __cudaGetKernel(cudaKernel_t* kernel, const void* symbol) {
  *kernel = (cudaKernel_t)symbol;
  return cudaSuccess;
}
static thread_local struct {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
} pushed;
EXPORT unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  pushed = {grid, block, shared, stream};
  return 0;
}
EXPORT Error __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  *grid = pushed.grid;
  *block = pushed.block;
  *shared = pushed.shared;
  *(cudaStream_t*)stream = pushed.stream;
  return cudaSuccess;
}
static Error unknown(const void* symbol) {
  Lock lock(kernels_lock);
  auto found = names().find(symbol);
  fprintf(stderr, "[stand-in] no such kernel here: %s\n", found == names().end() ? "?" : found->second.c_str());
  return said(cudaErrorNotSupported);
}
EXPORT Error cudaLaunchKernel(const void* symbol, dim3, dim3, void**, size_t, cudaStream_t) { return unknown(symbol); }
EXPORT Error __cudaLaunchKernel(cudaKernel_t kernel, dim3, dim3, void**, size_t, cudaStream_t) {
  return unknown(kernel);
}
EXPORT Error cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void* symbol, void**) { return unknown(symbol); }
EXPORT Error cudaFuncGetAttributes(cudaFuncAttributes* found, const void*) {
  memset(found, 0, sizeof *found);
  found->maxThreadsPerBlock = 1024;
  found->numRegs = 32;
  found->binaryVersion = found->ptxVersion = MAJOR * 10;
  return cudaSuccess;
}
EXPORT Error cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
EXPORT Error cudaFuncGetName(const char** name, const void*) {
  *name = "kernel";
  return cudaSuccess;
}
EXPORT Error cudaGetFuncBySymbol(cudaFunction_t* function, const void* symbol) {
  *function = (cudaFunction_t)symbol;
  return cudaSuccess;
}
EXPORT Error cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* number, const void*, int, size_t) {
  *number = 2;
  return cudaSuccess;
}
EXPORT Error cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* number, const void*, int, size_t, unsigned) {
  *number = 2;
  return cudaSuccess;
}
EXPORT Error cudaProfilerStart() { return cudaSuccess; }
EXPORT Error cudaProfilerStop() { return cudaSuccess; }

// --- what of the driver is asked for by name -------------------------------------------------------------------

static CUresult device_get(CUdevice* device, int number) {
  *device = number;
  return there(number) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
static CUresult device_attribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  return (CUresult)cudaDeviceGetAttribute(value, (cudaDeviceAttr)attribute, device);
}
static CUresult device_uuid(CUuuid* uuid, CUdevice device) {
  if (!there(device)) return CUDA_ERROR_INVALID_DEVICE;
  memset(uuid->bytes, bus(device), sizeof uuid->bytes);
  return CUDA_SUCCESS;
}
static CUresult error_string(CUresult error, const char** text) {
  *text = words((Error)error).second;
  return CUDA_SUCCESS;
}
static CUresult error_name(CUresult error, const char** text) {
  *text = error == CUDA_SUCCESS ? "CUDA_SUCCESS" : "CUDA_ERROR_UNKNOWN";
  return CUDA_SUCCESS;
}
static CUresult address_range(CUdeviceptr* base, size_t* size, CUdeviceptr pointer) {
  Lock lock(memory_lock);
  auto* own = block((void*)pointer);
  if (!own) return CUDA_ERROR_INVALID_VALUE;
  if (base) *base = (CUdeviceptr)own->at;
  if (size) *size = own->size;
  return CUDA_SUCCESS;
}
static CUresult launched(CUfunction function, CUstream stream, void** extra) {
  void* arguments = nullptr;
  size_t size = 0;
  for (int i = 0; extra && extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
    if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER) arguments = extra[i + 1];
    if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE) size = *(size_t*)extra[i + 1];
  }
  HostKernel kernel;
  {
    Lock lock(kernels_lock);
    auto found = host_kernels().find((const void*)function);
    if (found == host_kernels().end()) return CUDA_ERROR_NOT_SUPPORTED;
    kernel = found->second;
  }
  auto kept =
      std::make_shared<std::vector<__int128>>(size / sizeof(__int128) + 1);  // aligned as NCCL's structures want it
  memcpy(kept->data(), arguments, size);
  of((cudaStream_t)stream)->put([=] { kernel(kept->data()); });
  return CUDA_SUCCESS;
}
static CUresult launch(CUfunction function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                       CUstream stream, void**, void** extra) {
  return launched(function, stream, extra);
}
static CUresult launch_ex(const CUlaunchConfig* asked, CUfunction function, void**, void** extra) {
  for (unsigned i = 0; i < asked->numAttrs; i++)
    if (asked->attrs[i].id == CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT)
      cudaEventRecord((cudaEvent_t)asked->attrs[i].value.launchCompletionEvent.event, (cudaStream_t)asked->hStream);
  return launched(function, asked->hStream, extra);
}
static CUresult context_current(CUcontext* context) {
  *context = (CUcontext)(uintptr_t)(current + 1);
  return CUDA_SUCCESS;
}
static CUresult context_set(CUcontext context) {
  if (context) current = (int)(uintptr_t)context - 1;
  return CUDA_SUCCESS;
}
static CUresult context_device(CUdevice* device) {
  *device = current;
  return CUDA_SUCCESS;
}
static CUresult context_create(CUcontext* context, ...) { return context_current(context); }
static CUresult context_destroy(CUcontext) { return CUDA_SUCCESS; }
static CUresult pointer_attribute(void* value, CUpointer_attribute attribute, CUdeviceptr pointer) {
  cudaPointerAttributes found;
  cudaPointerGetAttributes(&found, (void*)pointer);
  if (attribute == CU_POINTER_ATTRIBUTE_MEMORY_TYPE) *(int*)value = found.type;
  else if (attribute == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) *(int*)value = found.device;
  else *(uint64_t*)value = 0;
  return CUDA_SUCCESS;
}
static CUresult primary_state(CUdevice, unsigned* flags, int* active) {
  if (flags) *flags = 0;
  if (active) *active = 1;
  return CUDA_SUCCESS;
}
static CUresult not_here() { return CUDA_ERROR_NOT_SUPPORTED; }

EXPORT Error cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                              cudaDriverEntryPointQueryResult* result) {
  static const std::map<std::string, void*> known = {
      {"cuDeviceGet", (void*)device_get},
      {"cuDeviceGetAttribute", (void*)device_attribute},
      {"cuDeviceGetUuid", (void*)device_uuid},
      {"cuGetErrorString", (void*)error_string},
      {"cuGetErrorName", (void*)error_name},
      {"cuMemGetAddressRange", (void*)address_range},
      {"cuLaunchKernel", (void*)launch},
      {"cuLaunchKernelEx", (void*)launch_ex},
      {"cuCtxGetCurrent", (void*)context_current},
      {"cuCtxSetCurrent", (void*)context_set},
      {"cuCtxGetDevice", (void*)context_device},
      {"cuCtxCreate", (void*)context_create},
      {"cuCtxDestroy", (void*)context_destroy},
      {"cuPointerGetAttribute", (void*)pointer_attribute},
      {"cuDevicePrimaryCtxGetState", (void*)primary_state},
  };
  auto found = known.find(name);
  *function = found == known.end() ? (void*)not_here : found->second;
  if (result) *result = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}
EXPORT Error cudaGetDriverEntryPoint(const char* name, void** function, unsigned long long flags,
                                     cudaDriverEntryPointQueryResult* result) {
  return cudaGetDriverEntryPointByVersion(name, function, CUDART_VERSION, flags, result);
}
