// Batch norm and ReLU6 as one operation, forward and backward, on bfloat16 rows of channels, in one thread.
//
// Training a MobileNet on a CPU is limited by memory bandwidth: as four separate passes, these two layers took more
// than half of a step. Here the forward pass reads its input twice and writes once; the backward pass reads input and
// gradient twice and writes once, and recomputes where ReLU6 passes gradients instead of storing its input.

#include <torch/extension.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t LANES = 16;
constexpr int64_t CHUNK = 128;  // the number of rows that are summed in single precision

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

// Rounds to the nearest bfloat16, ties to even.
inline void store(uint16_t* to, Floats floats) {
  const Words words = reinterpret_cast<Words>(floats);
  const Halves halves = __builtin_convertvector((words + 0x7fff + ((words >> 16) & 1)) >> 16, Halves);
  std::memcpy(to, &halves, sizeof halves);
}

// The tensor as rows of a whole number of vectors: a row has the channels of one position, or of two positions if one
// would end with half a vector.
struct Rows {
  int64_t channels, width, count;

  explicit Rows(const torch::Tensor& x) : channels(x.size(1)) {
    TORCH_CHECK(x.scalar_type() == torch::kBFloat16 && x.is_contiguous(torch::MemoryFormat::ChannelsLast),
                "expected bfloat16, channels last");
    width = channels % LANES ? 2 * channels : channels;
    TORCH_CHECK(width % LANES == 0 && x.numel() % width == 0, "expected channels in multiples of 8, pictures in pairs");
    count = x.numel() / width;
  }

  // Repeats one value per channel for every column of a row.
  std::vector<float> per_column(const std::vector<double>& values) const {
    std::vector<float> out(width);
    for (int64_t column = 0; column < width; ++column) out[column] = static_cast<float>(values[column % channels]);
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

// Computes two sums per channel over all rows; `add_terms(row * width + column, column, one, two)` adds the terms of
// one vector.
template <typename Terms>
void sums(const Rows& rows, std::vector<double>& first, std::vector<double>& second, Terms add_terms) {
  first.assign(rows.channels, 0.0);
  second.assign(rows.channels, 0.0);
  for (int64_t begin = 0; begin < rows.count; begin += CHUNK) {
    const int64_t end = std::min(begin + CHUNK, rows.count);
    for (int64_t column = 0; column < rows.width; column += LANES) {
      Floats one = {}, two = {};
      for (int64_t row = begin; row < end; ++row) add_terms(row * rows.width + column, column, one, two);
      for (int64_t lane = 0; lane < LANES; ++lane) {
        first[(column + lane) % rows.channels] += one[lane];
        second[(column + lane) % rows.channels] += two[lane];
      }
    }
  }
}

}  // namespace

// Returns the output, and mean and 1 / standard deviation of each channel; updates the running statistics in place.
std::vector<torch::Tensor> forward(torch::Tensor x, torch::Tensor weight, torch::Tensor bias,
                                   torch::Tensor running_mean, torch::Tensor running_var, double momentum, double eps,
                                   bool relu) {
  const Rows rows(x);
  const uint16_t* in = bits(x);
  std::vector<double> mean, sum_of_squares;
  sums(rows, mean, sum_of_squares, [&](int64_t at, int64_t, Floats& one, Floats& two) {
    const Floats v = load(in + at);
    one += v;
    two += v * v;
  });
  const double count = static_cast<double>(x.numel() / rows.channels);
  std::vector<double> inverse_deviation(rows.channels), variance(rows.channels);
  std::vector<double> scale(rows.channels), shift(rows.channels);
  const std::vector<double> weights = doubles(weight), biases = doubles(bias);
  for (int64_t c = 0; c < rows.channels; ++c) {
    mean[c] /= count;
    const double biased = std::max(sum_of_squares[c] / count - mean[c] * mean[c], 0.0);
    variance[c] = biased * count / (count - 1);
    inverse_deviation[c] = 1 / std::sqrt(biased + eps);
    scale[c] = weights[c] * inverse_deviation[c];
    shift[c] = biases[c] - mean[c] * scale[c];
  }
  running_mean.lerp_(tensor(mean), momentum);
  running_var.lerp_(tensor(variance), momentum);

  torch::Tensor y = torch::empty_like(x);
  uint16_t* out = reinterpret_cast<uint16_t*>(y.data_ptr<at::BFloat16>());
  const std::vector<float> scales = rows.per_column(scale), shifts = rows.per_column(shift);
  const Floats zero = {}, six = zero + 6.0f;
  for (int64_t row = 0; row < rows.count; ++row) {
    for (int64_t column = 0; column < rows.width; column += LANES) {
      Floats v = load(in + row * rows.width + column) * load(&scales[column]) + load(&shifts[column]);
      if (relu) {
        v = v > zero ? v : zero;
        v = v < six ? v : six;
      }
      store(out + row * rows.width + column, v);
    }
  }
  return {y, tensor(mean), tensor(inverse_deviation)};
}

// Returns the gradients of input, weight and bias.
std::vector<torch::Tensor> backward(torch::Tensor grad, torch::Tensor x, torch::Tensor mean,
                                    torch::Tensor inverse_deviation, torch::Tensor weight, torch::Tensor bias,
                                    bool relu) {
  grad = grad.to(torch::kBFloat16).contiguous(torch::MemoryFormat::ChannelsLast);
  const Rows rows(x);
  const uint16_t *in = bits(x), *output_gradient = bits(grad);
  const std::vector<double> means = doubles(mean), inverse_deviations = doubles(inverse_deviation);
  const std::vector<double> weights = doubles(weight), biases = doubles(bias);
  std::vector<double> scale(rows.channels), shift(rows.channels);
  for (int64_t c = 0; c < rows.channels; ++c) {
    scale[c] = weights[c] * inverse_deviations[c];
    shift[c] = biases[c] - means[c] * scale[c];
  }
  const std::vector<float> scales = rows.per_column(scale), shifts = rows.per_column(shift);
  const Floats zero = {}, six = zero + 6.0f;
  const auto gradient_after_relu = [&](int64_t at, int64_t column, Floats v) {
    const Floats g = load(output_gradient + at);
    if (!relu) return g;
    const Floats y = v * load(&scales[column]) + load(&shifts[column]);
    return y > zero ? (y < six ? g : zero) : zero;
  };

  std::vector<double> bias_gradient, weight_gradient;
  sums(rows, bias_gradient, weight_gradient, [&](int64_t at, int64_t column, Floats& one, Floats& two) {
    const Floats v = load(in + at), g = gradient_after_relu(at, column, v);
    one += g;
    two += g * v;
  });
  const double count = static_cast<double>(x.numel() / rows.channels);
  std::vector<double> input_factor(rows.channels), constant_term(rows.channels);
  for (int64_t c = 0; c < rows.channels; ++c) {
    // weight_gradient is the sum of gradient times input until here.
    weight_gradient[c] = (weight_gradient[c] - means[c] * bias_gradient[c]) * inverse_deviations[c];
    input_factor[c] = -scale[c] * inverse_deviations[c] * weight_gradient[c] / count;
    constant_term[c] = -scale[c] * bias_gradient[c] / count - input_factor[c] * means[c];
  }
  torch::Tensor result = torch::empty_like(x);
  uint16_t* out = reinterpret_cast<uint16_t*>(result.data_ptr<at::BFloat16>());
  const std::vector<float> input_factors = rows.per_column(input_factor);
  const std::vector<float> constant_terms = rows.per_column(constant_term);
  for (int64_t row = 0; row < rows.count; ++row) {
    for (int64_t column = 0; column < rows.width; column += LANES) {
      const int64_t at = row * rows.width + column;
      const Floats v = load(in + at);
      store(out + at, gradient_after_relu(at, column, v) * load(&scales[column]) + v * load(&input_factors[column]) +
                          load(&constant_terms[column]));
    }
  }
  return {result, tensor(weight_gradient), tensor(bias_gradient)};
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("forward", &forward);
  module.def("backward", &backward);
}
