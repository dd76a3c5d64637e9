// What NCCL's kernels do, done by threads of the host: collectives over its rings by the Simple protocol, sends and
// receives. Everything else is NCCL's own: who connects to whom and how, the buffers, the proxies that carry them over
// sockets.
//
// Written against the headers of NCCL (src/include), whose structures the host fills for the device. build.py writes
// generated.h: the names of the device functions by number, and an empty kernel per symbol that the host's tables name.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "alloc.h"
#include "collectives.h"
#include "device.h"
#include "sym_kernels.h"

extern "C" void standin_kernel(const void* symbol, void (*kernel)(void*));
#include "generated.h"

namespace {

struct Aborted {};

struct Channel {
  ncclKernelCommAndChannels* all;
  int number;
  ncclDevChannel& own() const { return all->channels[number]; }
  int rank() const { return all->comm.rank; }

  // A GPU's threads wait without end; here they let others have the processor.
  void pause(int& spins) const {
    if (*all->comm.abortFlag) throw Aborted();
    if (++spins < 50) sched_yield();
    else usleep(spins < 500 ? 20 : 500);
  }
};

// One side of a connection. Data goes through NCCL_STEPS slots; `tail` counts those filled, `head` those emptied.
class Side {
 public:
  Side(const Channel& channel, int peer, bool sends, int connection, int slices, int steps)
      : slices(slices), channel(channel), sends(sends), steps(steps) {
    auto* with = channel.own().peers[peer];
    own = sends ? &with->send[connection] : &with->recv[connection];
    uint64_t chunk = (uint64_t)slices * steps;
    step = (own->step + chunk - 1) / chunk * chunk;
    if (!sends) *(volatile uint64_t*)own->head = step;  // what is left out by rounding is given back
  }
  ~Side() { own->step = step; }

  const int slices;
  int steps_per_slice() const { return steps; }

  void wait() const {
    volatile uint64_t* at = sends ? own->head : own->tail;
    for (int spins = 0; *at + (sends ? NCCL_STEPS : 0) < step + steps;) channel.pause(spins);
    __sync_synchronize();
  }
  char* slot() const {
    char* buffer = own->buffs[NCCL_PROTO_SIMPLE];
    auto* fifo = own->connFifo;
    if (fifo && fifo[step % NCCL_STEPS].mode == NCCL_MODE_OFFSET) return buffer + fifo[step % NCCL_STEPS].offset;
    return buffer + (step % NCCL_STEPS) * (size_t)own->stepSize;
  }
  void announce(size_t bytes) const {  // to the proxy
    if (own->connFifo) own->connFifo[step % NCCL_STEPS].size = (ssize_t)bytes;
  }
  void post() {
    __sync_synchronize();
    step += steps;
    *(volatile uint64_t*)(sends ? own->tail : own->head) = step;
  }

 private:
  const Channel& channel;
  ncclConnInfo* own;
  const bool sends;
  const int steps;
  uint64_t step;
};

using Combine = std::function<void(char* into, const char* other, size_t elements)>;
using Scale = std::function<void(char* values, size_t elements)>;

struct Kind {
  size_t size;  // bytes of an element
  size_t step;  // elements that a step holds
  Combine combine;
  Scale before;  // what is done to a rank's own values
};

// A chunk: what comes from `from` and `mine`, combined, goes to `out` and to `to`; each may be missing.
void chunk(const Kind& kind, Side* from, Side* to, const char* mine, char* out, ssize_t elements) {
  const Side& some = from ? *from : *to;
  elements = std::max<ssize_t>(elements, 0);
  ssize_t whole = (ssize_t)kind.step * some.steps_per_slice();
  ssize_t even = (elements + 16 * some.slices - 1) / (16 * some.slices) * 16;
  ssize_t slice = std::max(even, whole / 32), done = 0;
  for (int number = 0; number < some.slices; number++, done += slice) {
    ssize_t now = std::max<ssize_t>(0, std::min(slice, elements - done));
    size_t bytes = (size_t)now * kind.size;
    if (from) from->wait();
    if (to) {
      to->wait();
      to->announce(bytes);
    }
    if (bytes) {
      std::vector<char> values(bytes);
      memcpy(values.data(), mine ? mine + done * kind.size : from->slot(), bytes);
      if (mine && kind.before) kind.before(values.data(), now);
      if (mine && from) kind.combine(values.data(), from->slot(), now);
      if (out) memcpy(out + done * kind.size, values.data(), bytes);
      if (to) memcpy(to->slot(), values.data(), bytes);
    }
    if (from) from->post();
    if (to) to->post();
  }
}

// --- reductions ------------------------------------------------------------------------------------------------

template <class T>
T combined(const std::string& how, uint64_t argument, T a, T b) {
  if (how == "Prod") return a * b;
  if (how != "MinMax") return a + b;
  if constexpr (std::is_floating_point_v<T>) {
    return (argument & 1) == 0 ? std::min(a, b) : std::max(a, b);
  } else {
    using Bits = std::make_unsigned_t<T>;
    return ((Bits)a ^ (Bits)argument) < ((Bits)b ^ (Bits)argument) ? a : b;
  }
}
template <class T>
Combine over(const std::string& how, uint64_t argument) {
  return [=](char* into, const char* other, size_t elements) {
    auto *a = (T*)into, *b = (T*)other;
    for (size_t i = 0; i < elements; i++) a[i] = combined<T>(how, argument, a[i], b[i]);
  };
}
template <class T>
Scale scaled(uint64_t argument) {
  T factor;
  memcpy(&factor, &argument, sizeof factor);
  return [=](char* values, size_t elements) {
    for (size_t i = 0; i < elements; i++) ((T*)values)[i] *= factor;
  };
}

float of_half(uint16_t bits) {
  float sign = bits & 0x8000 ? -1.0f : 1.0f;
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 0) return sign * std::ldexp((float)fraction, -24);
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  return sign * std::ldexp((float)(fraction + 1024), exponent - 25);
}
uint16_t to_half(float value) {
  uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  float size = std::fabs(value);
  if (std::isnan(value)) return sign | 0x7e00;
  if (size >= 65520.0f) return sign | 0x7c00;
  int exponent;
  std::frexp(size, &exponent);
  if (exponent < -13) return sign | (uint16_t)std::lrint(std::ldexp(size, 24));
  return sign | (uint16_t)(((exponent + 13) << 10) + std::lrint(std::ldexp(size, 11 - exponent)));
}
float of_bfloat(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}
uint16_t to_bfloat(float value) {
  uint32_t wide;
  memcpy(&wide, &value, sizeof wide);
  return (uint16_t)((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
}
template <float of(uint16_t), uint16_t to(float)>
Combine small(const std::string& how, uint64_t argument) {
  return [=](char* into, const char* other, size_t elements) {
    auto *a = (uint16_t*)into, *b = (uint16_t*)other;
    for (size_t i = 0; i < elements; i++) a[i] = to(combined<float>(how, argument, of(a[i]), of(b[i])));
  };
}

Kind kind_of(const std::string& type, const std::string& how, uint64_t argument) {
  if (type == "f32") return {4, 0, over<float>(how, argument), how == "PreMulSum" ? scaled<float>(argument) : Scale()};
  if (type == "f64")
    return {8, 0, over<double>(how, argument), how == "PreMulSum" ? scaled<double>(argument) : Scale()};
  if (type == "f16") return {2, 0, small<of_half, to_half>(how, argument), {}};
  if (type == "bf16") return {2, 0, small<of_bfloat, to_bfloat>(how, argument), {}};
  if (type == "u8") return {1, 0, over<uint8_t>(how, argument), {}};
  if (type == "u32") return {4, 0, over<uint32_t>(how, argument), {}};
  if (type == "i32") return {4, 0, over<int32_t>(how, argument), {}};
  if (type == "u64") return {8, 0, over<uint64_t>(how, argument), {}};
  if (type == "i64") return {8, 0, over<int64_t>(how, argument), {}};
  return {1, 0, over<int8_t>(how, argument), {}};
}

// --- collectives: the order of chunks is NCCL's (src/device/*.h), since each rank runs its own ------------------

void all_reduce(const Kind& kind, Side& from, Side& to, const ncclRing& ring, int size, const char* in, char* out,
                size_t begin, size_t length, size_t per_chunk) {
  for (size_t done = 0; done < length; done += size * per_chunk) {
    size_t left = length - done, each = per_chunk;
    if (left < size * per_chunk) {
      size_t pack = 16 / kind.size, even = (left + size - 1) / size;
      each = (even + pack - 1) / pack * pack;
    }
    auto part = [&](int number, Side* r, Side* s, bool mine, bool keep) {
      ssize_t offset = (ssize_t)(number % size) * (ssize_t)each;
      size_t at = (begin + done + offset) * kind.size;
      chunk(kind, r, s, mine ? in + at : nullptr, keep ? out + at : nullptr,
            std::min<ssize_t>(each, (ssize_t)left - offset));
    };
    int me = ring.index;
    part(me + size - 1, nullptr, &to, true, false);
    for (int j = 2; j < size; j++) part(me + size - j, &from, &to, true, false);
    part(me, &from, &to, true, true);
    for (int j = 1; j < size - 1; j++) part(me + size - j, &from, &to, false, true);
    part(me + 1, &from, nullptr, false, true);
  }
}

void collective(const Channel& channel, const std::string& name, ncclDevWorkColl* work) {
  std::vector<std::string> words;  // AllReduce_Sum_f32_RING_SIMPLE, AllGather_RING_SIMPLE
  for (size_t at = 0; at <= name.size();) {
    size_t end = std::min(name.find('_', at), name.size());
    words.push_back(name.substr(at, end - at));
    at = end + 1;
  }
  bool reduces = words.size() == 5;
  if (words.size() < 3 || words.back() != "SIMPLE" || words[words.size() - 2] != "RING") {
    fprintf(stderr, "[stand-in] no such kernel here: %s\n", name.c_str());
    return;
  }
  const std::string &what = words[0], how = reduces ? words[1] : "Sum";
  Kind kind = kind_of(reduces ? words[2] : "i8", how, 0);
  uint64_t argument = work->redOpArg;
  if (work->redOpArgIsPtr) {
    argument = 0;
    memcpy(&argument, (void*)work->redOpArg, kind.size);
  }
  kind = kind_of(reduces ? words[2] : "i8", how, argument);
  kind.step = channel.all->comm.buffSizes[NCCL_PROTO_SIMPLE] / NCCL_STEPS / kind.size;

  size_t count = 0, begin = 0, length = 0, per_chunk = 0;
  ncclCollCbdPart(work, channel.number, NCCL_PROTO_SIMPLE, (int)kind.size, &count, &begin, &length, &per_chunk);
  bool large = what == "AllReduce" || what == "AllGather" || what == "ReduceScatter";
  int steps = large ? ALLREDUCE_SLICESTEPS : BROADCAST_SLICESTEPS,
      slices = large ? ALLREDUCE_CHUNKSTEPS / ALLREDUCE_SLICESTEPS : 1;
  const ncclRing& ring = channel.own().ring;
  const int *ranks = ring.userRanks, size = channel.all->comm.nRanks, root = (int)work->root;
  Side from(channel, ring.prev, false, 0, slices, steps), to(channel, ring.next, true, 0, slices, steps);
  char *in = (char*)work->sendbuff, *out = (char*)work->recvbuff;
  if (what == "AllReduce") return all_reduce(kind, from, to, ring, size, in, out, begin, length, per_chunk);

  for (size_t done = 0; done < length; done += per_chunk) {
    auto elements = (ssize_t)std::min(per_chunk, length - done);
    size_t at = (begin + done) * kind.size;
    auto of = [&](int number) { return at + ranks[number] * count * kind.size; };
    auto step = [&](Side* r, Side* s, const char* mine, char* keep) { chunk(kind, r, s, mine, keep, elements); };
    if (what == "AllGather") {
      step(nullptr, &to, in + at, in + at == out + of(0) ? nullptr : out + of(0));
      for (int j = 1; j < size - 1; j++) step(&from, &to, nullptr, out + of(size - j));
      step(&from, nullptr, nullptr, out + of(1));
    } else if (what == "ReduceScatter") {
      step(nullptr, &to, in + of(size - 1), nullptr);
      for (int j = 2; j < size; j++) step(&from, &to, in + of(size - j), nullptr);
      step(&from, nullptr, in + of(0), out + at);
    } else if (what == "Broadcast") {
      if (ranks[0] == root) step(nullptr, &to, in + at, in == out ? nullptr : out + at);
      else step(&from, ranks[1] == root ? nullptr : &to, nullptr, out + at);
    } else if (what == "Reduce") {
      if (ranks[size - 1] == root) step(nullptr, &to, in + at, nullptr);
      else if (ranks[0] == root) step(&from, nullptr, in + at, out + at);
      else step(&from, &to, in + at, nullptr);
    } else {
      fprintf(stderr, "[stand-in] no such kernel here: %s\n", name.c_str());
      return;
    }
  }
}

void send_or_receive(const Channel& channel, ncclDevWorkP2p* work, bool sends) {
  int parts = sends ? work->nSendChannels : work->nRecvChannels;
  int part = (channel.number - work->channelBase) & (work->nP2pChannels - 1);
  if (part >= parts) return;
  size_t begin, end;
  ncclP2pPartBounds(parts, part, sends ? work->sendBytes : work->recvBytes, &begin, &end);
  char* at = (char*)(sends ? work->sendAddr : work->recvAddr) + begin;
  if (work->sendRank == channel.rank()) {  // to itself
    if (sends && work->sendAddr != work->recvAddr) memmove((char*)work->recvAddr + begin, at, end - begin);
    return;
  }
  if (sends ? work->sendProtoLL : work->recvProtoLL) {
    fprintf(stderr, "[stand-in] sends by the LL protocol are not here: NCCL_P2P_LL_THRESHOLD=0\n");
    return;
  }
  Kind bytes{1, (size_t)channel.all->comm.p2pChunkSize, {}, {}};
  size_t per_chunk = u32fp8Decode(sends ? work->sendChunkSize_u32fp8 : work->recvChunkSize_u32fp8), left = end - begin;
  Side side(channel, sends ? work->sendRank : work->recvRank, sends, 1, 1, 1);
  do {
    size_t now = std::min(per_chunk, left);
    if (sends) chunk(bytes, nullptr, &side, at, nullptr, (ssize_t)now);
    else chunk(bytes, &side, nullptr, nullptr, at, (ssize_t)now);
    at += now;
    left -= now;
  } while (left);
}

// --- the work of a kernel --------------------------------------------------------------------------------------

void batch(const Channel& channel, const ncclDevWorkBatch& last, const std::vector<char*>& works) {
  if (last.workType == ncclDevWorkTypeP2p) {
    std::vector<std::thread> threads;  // one that sends and one that receives must not wait for each other
    for (char* work : works)
      for (bool sends : {true, false})
        threads.emplace_back([&channel, work, sends] {
          try {
            send_or_receive(channel, (ncclDevWorkP2p*)work, sends);
          } catch (const Aborted&) {
          }
        });
    for (auto& thread : threads) thread.join();
  } else if (last.workType == ncclDevWorkTypeBcast) {
    fprintf(stderr, "[stand-in] batched broadcasts are not here\n");
  } else {
    for (char* work : works) collective(channel, function_names[last.funcId], (ncclDevWorkColl*)work);
  }
}

void run_channel(ncclDevKernelArgs* arguments, int index, int number) {
  Channel channel{(ncclKernelCommAndChannels*)arguments->comm, number};
  auto* batches = (ncclDevWorkBatch*)(arguments + 1);
  try {
    for (;;) {
      std::vector<char*> works;
      ncclDevWorkBatch one;
      for (;;) {
        one = batches[index];
        size_t size = ncclDevWorkSize((ncclDevWorkType)one.workType);
        for (int bit = 0; bit < 64; bit++) {
          if (!(one.offsetBitset >> bit & 1)) continue;
          size_t offset = one.offsetBase + bit * size;
          bool inside = arguments->workStorageType == ncclDevWorkStorageTypeArgs;
          works.push_back(inside ? (char*)arguments + offset
                                 : (char*)arguments->workBuf + (offset & arguments->workMask));
        }
        if (!one.nextExtends) break;
        index += one.nextJump;
      }
      batch(channel, one, works);
      channel.own().workCounter += works.size();
      if (!one.nextJump) return;
      index += one.nextJump;
    }
  } catch (const Aborted&) {
  }
}

void kernel(void* memory) {
  auto* arguments = (ncclDevKernelArgs*)memory;
  std::vector<std::thread> threads;
  for (int number = 0, index = 0; number < MAXCHANNELS; number++)
    if (arguments->channelMask >> number & 1) threads.emplace_back(run_channel, arguments, index++, number);
  for (auto& thread : threads) thread.join();
}

__attribute__((constructor)) void tell() {
  for (auto* symbol : kernel_symbols) standin_kernel(symbol, kernel);
}

}  // namespace

ncclResult_t ncclLaunchOneRank(void* to, void const* from, size_t count, ncclDevRedOpFull, ncclDataType_t type,
                               cudaStream_t stream) {
  if (to != from) NCCLCHECK(ncclCudaMemcpyAsync((char*)to, (char*)from, count * ncclTypeSize(type), stream));
  return ncclSuccess;
}
struct ncclDevComm;
ncclResult_t ncclGinResetSignalsAndCounters(ncclComm*, ncclDevComm const*) { return ncclSuccess; }
