// Batch norm and ReLU6 in one go, forward and backward, on bfloat16 rows of channels, by one thread.
//
// Training a MobileNet on a CPU waits for memory: these two layers, as four passes of their own, took more than half
// of a step. Here the forward pass reads its input twice and writes once; the backward pass reads input and gradient
// twice and writes once, and works out again where ReLU6 was open instead of keeping its input.

#include <torch/extension.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t LANES = 16;
constexpr int64_t CHUNK = 128;  // rows whose sums are kept in single precision

typedef float Floats __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

inline Floats load(const uint16_t* from) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  return reinterpret_cast<Floats>(__builtin_convertvector(halves, Words) << 16);
}

inline Floats load(const float* from) {
  Floats floats;
  std::memcpy(&floats, from, sizeof floats);
  return floats;
}

// To the nearest bfloat16, to even in the middle.
inline void store(uint16_t* to, Floats floats) {
  const Words words = reinterpret_cast<Words>(floats);
  const Halves halves = __builtin_convertvector((words + 0x7fff + ((words >> 16) & 1)) >> 16, Halves);
  std::memcpy(to, &halves, sizeof halves);
}

// The tensor as rows of a whole number of vectors: two positions to a row where the channels are 8 more than that.
struct Rows {
  int64_t channels, width, count;

  explicit Rows(const torch::Tensor& x) : channels(x.size(1)) {
    TORCH_CHECK(x.scalar_type() == torch::kBFloat16 && x.is_contiguous(torch::MemoryFormat::ChannelsLast),
                "expected bfloat16, channels last");
    width = channels % LANES ? 2 * channels : channels;
    TORCH_CHECK(width % LANES == 0 && x.numel() % width == 0, "expected channels in multiples of 8, pictures in pairs");
    count = x.numel() / width;
  }

  // A value for each channel, once for each place in a row.
  std::vector<float> spread(const std::vector<double>& values) const {
    std::vector<float> out(width);
    for (int64_t place = 0; place < width; ++place) out[place] = static_cast<float>(values[place % channels]);
    return out;
  }
};

const uint16_t* bits(const torch::Tensor& x) { return reinterpret_cast<const uint16_t*>(x.data_ptr<at::BFloat16>()); }

std::vector<double> doubles(const torch::Tensor& values) {
  const torch::Tensor wide = values.to(torch::kDouble).contiguous();
  return {wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel()};
}

torch::Tensor tensor(const std::vector<double>& values) {
  return torch::tensor(values, torch::kDouble).to(torch::kFloat);
}

// Two sums for each channel over all rows, of what `terms(row * width + place, place, first, second)` adds.
template <typename Terms>
void sums(const Rows& rows, std::vector<double>& first, std::vector<double>& second, Terms terms) {
  first.assign(rows.channels, 0.0);
  second.assign(rows.channels, 0.0);
  for (int64_t begin = 0; begin < rows.count; begin += CHUNK) {
    const int64_t end = std::min(begin + CHUNK, rows.count);
    for (int64_t place = 0; place < rows.width; place += LANES) {
      Floats one = {}, two = {};
      for (int64_t row = begin; row < end; ++row) terms(row * rows.width + place, place, one, two);
      for (int64_t lane = 0; lane < LANES; ++lane) {
        first[(place + lane) % rows.channels] += one[lane];
        second[(place + lane) % rows.channels] += two[lane];
      }
    }
  }
}

}  // namespace

// Output, mean and 1 / deviation of each channel; the running statistics are moved in place.
std::vector<torch::Tensor> forward(torch::Tensor x, torch::Tensor weight, torch::Tensor bias, torch::Tensor running_mean,
                                   torch::Tensor running_var, double momentum, double eps, bool relu) {
  const Rows rows(x);
  const uint16_t* in = bits(x);
  std::vector<double> mean, spread;
  sums(rows, mean, spread, [&](int64_t at, int64_t, Floats& one, Floats& two) {
    const Floats v = load(in + at);
    one += v;
    two += v * v;
  });
  const double count = static_cast<double>(x.numel() / rows.channels);
  std::vector<double> inverse(rows.channels), scale(rows.channels), shift(rows.channels), variance(rows.channels);
  const std::vector<double> gain = doubles(weight), offset = doubles(bias);
  for (int64_t c = 0; c < rows.channels; ++c) {
    mean[c] /= count;
    const double biased = std::max(spread[c] / count - mean[c] * mean[c], 0.0);
    variance[c] = biased * count / (count - 1);
    inverse[c] = 1 / std::sqrt(biased + eps);
    scale[c] = gain[c] * inverse[c];
    shift[c] = offset[c] - mean[c] * scale[c];
  }
  running_mean.lerp_(tensor(mean), momentum);
  running_var.lerp_(tensor(variance), momentum);

  torch::Tensor y = torch::empty_like(x);
  uint16_t* out = reinterpret_cast<uint16_t*>(y.data_ptr<at::BFloat16>());
  const std::vector<float> scales = rows.spread(scale), shifts = rows.spread(shift);
  const Floats zero = {}, six = zero + 6.0f;
  for (int64_t row = 0; row < rows.count; ++row) {
    for (int64_t place = 0; place < rows.width; place += LANES) {
      Floats v = load(in + row * rows.width + place) * load(&scales[place]) + load(&shifts[place]);
      if (relu) {
        v = v > zero ? v : zero;
        v = v < six ? v : six;
      }
      store(out + row * rows.width + place, v);
    }
  }
  return {y, tensor(mean), tensor(inverse)};
}

// Gradients of input, weight and bias.
std::vector<torch::Tensor> backward(torch::Tensor grad, torch::Tensor x, torch::Tensor mean, torch::Tensor inverse,
                                    torch::Tensor weight, torch::Tensor bias, bool relu) {
  grad = grad.to(torch::kBFloat16).contiguous(torch::MemoryFormat::ChannelsLast);
  const Rows rows(x);
  const uint16_t *in = bits(x), *gradient = bits(grad);
  const std::vector<double> centre = doubles(mean), steep = doubles(inverse), gain = doubles(weight), offset = doubles(bias);
  std::vector<double> scale(rows.channels), shift(rows.channels);
  for (int64_t c = 0; c < rows.channels; ++c) {
    scale[c] = gain[c] * steep[c];
    shift[c] = offset[c] - centre[c] * scale[c];
  }
  const std::vector<float> scales = rows.spread(scale), shifts = rows.spread(shift);
  const Floats zero = {}, six = zero + 6.0f;
  const auto passed = [&](int64_t at, int64_t place, Floats v) {
    const Floats g = load(gradient + at);
    if (!relu) return g;
    const Floats y = v * load(&scales[place]) + load(&shifts[place]);
    return y > zero ? (y < six ? g : zero) : zero;
  };

  std::vector<double> total, product;
  sums(rows, total, product, [&](int64_t at, int64_t place, Floats& one, Floats& two) {
    const Floats v = load(in + at), g = passed(at, place, v);
    one += g;
    two += g * v;
  });
  const double count = static_cast<double>(x.numel() / rows.channels);
  std::vector<double> along(rows.channels), rest(rows.channels);
  for (int64_t c = 0; c < rows.channels; ++c) {
    product[c] = (product[c] - centre[c] * total[c]) * steep[c];  // the weight's gradient
    along[c] = -scale[c] * steep[c] * product[c] / count;
    rest[c] = -scale[c] * total[c] / count - along[c] * centre[c];
  }
  torch::Tensor result = torch::empty_like(x);
  uint16_t* out = reinterpret_cast<uint16_t*>(result.data_ptr<at::BFloat16>());
  const std::vector<float> alongs = rows.spread(along), rests = rows.spread(rest);
  for (int64_t row = 0; row < rows.count; ++row) {
    for (int64_t place = 0; place < rows.width; place += LANES) {
      const int64_t at = row * rows.width + place;
      const Floats v = load(in + at);
      store(out + at, passed(at, place, v) * load(&scales[place]) + v * load(&alongs[place]) + load(&rests[place]));
    }
  }
  return {result, tensor(product), tensor(total)};
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("forward", &forward);
  module.def("backward", &backward);
}
