// What NCCL asks NVML for its topology, for the devices of cuda.cpp: there are no links between them.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))
static const int NOT_SUPPORTED = 3, P2P_NOT_SUPPORTED = 1;

static void* handle(long number) { return (void*)(uintptr_t)(number + 1); }

EXPORT int nvmlInit_v2() { return 0; }
EXPORT int nvmlShutdown() { return 0; }
EXPORT int nvmlDeviceGetCount_v2(unsigned* count) {
  int found = 0;
  if (FILE* file = fopen(STANDIN_GPUS, "r")) {
    if (fscanf(file, "%d", &found) != 1) found = 0;
    fclose(file);
  }
  *count = found;
  return 0;
}
EXPORT int nvmlDeviceGetHandleByIndex(unsigned index, void** device) {
  *device = handle(index);
  return 0;
}
EXPORT int nvmlDeviceGetHandleByPciBusId(const char* bus, void** device) {
  *device = handle(strtol(strchr(bus, ':') + 1, nullptr, 16) - 1);  // "0000:01:00.0" is the first
  return 0;
}
EXPORT int nvmlDeviceGetIndex(void* device, unsigned* index) {
  *index = (unsigned)(uintptr_t)device - 1;
  return 0;
}
EXPORT const char* nvmlErrorString(int) { return "Not Supported"; }
EXPORT int nvmlDeviceGetNvLinkState(void*, unsigned, int*) { return NOT_SUPPORTED; }
EXPORT int nvmlDeviceGetNvLinkRemotePciInfo(void*, unsigned, void*) { return NOT_SUPPORTED; }
EXPORT int nvmlDeviceGetNvLinkCapability(void*, unsigned, int, unsigned*) { return NOT_SUPPORTED; }
EXPORT int nvmlDeviceGetFieldValues(void*, int, void*) { return NOT_SUPPORTED; }
EXPORT int nvmlDeviceGetCudaComputeCapability(void*, int* major, int* minor) {
  *major = 9;
  *minor = 0;
  return 0;
}
EXPORT int nvmlDeviceGetP2PStatus(void*, void*, int, int* status) {
  *status = P2P_NOT_SUPPORTED;
  return 0;
}
// Since 2.30: what the bus of a device is like, which NCCL otherwise takes from /sys.
EXPORT int nvmlDeviceGetCurrPcieLinkGeneration(...) { return NOT_SUPPORTED; }
EXPORT int nvmlDeviceGetCurrPcieLinkWidth(...) { return NOT_SUPPORTED; }
EXPORT int nvmlDeviceGetPciInfoExt(...) { return NOT_SUPPORTED; }
EXPORT int nvmlDeviceGetPciInfo_v3(...) { return NOT_SUPPORTED; }
EXPORT int nvmlDeviceGetPcieLinkMaxSpeed(...) { return NOT_SUPPORTED; }
