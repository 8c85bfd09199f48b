// Autograd for navigate and constrain. Every update calls them for a few microseconds of arithmetic, less than the
// overhead of an autograd formula registered in Python, so they are registered here. The errors for second derivatives
// are registered in Python (copgen/latents/operations/operators.py).

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

namespace copgen {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using In = const Tensor&;
using MaybeIn = const std::optional<Tensor>&;
using Two = std::tuple<Tensor, Tensor>;
using Four = std::tuple<Tensor, Tensor, Tensor, Tensor>;
using Five = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;

template <typename Signature>
auto operator_named(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

// Calls an operator in a backward pass, below autograd unless grad mode is on (a second derivative may be requested).
template <typename Operator, typename... Arguments>
auto call_backward(const Operator& op, Arguments&&... arguments) {
  std::optional<at::AutoDispatchBelowADInplaceOrView> past_autograd;
  if (!at::GradMode::is_enabled()) {
    past_autograd.emplace();
  }
  return op.call(std::forward<Arguments>(arguments)...);
}

std::optional<Tensor> given(const Tensor& gradient) {
  return gradient.defined() ? std::optional<Tensor>(gradient) : std::nullopt;
}

bool records(std::initializer_list<const Tensor*> inputs) {
  const auto learns = [](const Tensor* x) { return x->requires_grad(); };
  return at::GradMode::is_enabled() && std::any_of(inputs.begin(), inputs.end(), learns);
}

Four plain_navigate(In z, In w1, In b1, In w2, In b2, std::optional<double> delta, c10::SymInt kept) {
  static const auto op = operator_named<Four(In, In, In, In, In, std::optional<double>, c10::SymInt)>("copgen::navigate");
  const at::AutoDispatchBelowADInplaceOrView past_autograd;
  return op.call(z, w1, b1, w2, b2, delta, std::move(kept));
}

struct Navigate : torch::autograd::Function<Navigate> {
  // Returns only the differentiable outputs to autograd; `all` receives all outputs of the operator.
  static variable_list forward(
      AutogradContext* context, In z, In w1, In b1, In w2, In b2, std::optional<double> delta, c10::SymInt kept, Four* all) {
    *all = plain_navigate(z, w1, b1, w2, b2, delta, std::move(kept));
    const auto& [z_pos, d, stats, hidden] = *all;
    context->save_for_backward({z, w1, b1, w2, b2, d, hidden});
    context->set_materialize_grads(false);
    return {z_pos, d};
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    static const auto op = operator_named<Five(MaybeIn, MaybeIn, In, In, In, In, In, In, In, bool, bool)>(
        "copgen::navigate_backward");
    variable_list gradients(8);
    if (!upstream[0].defined() && !upstream[1].defined()) {
      return gradients;
    }
    const auto wanted = [&](size_t k) { return context->needs_input_grad(k); };
    const auto x = context->get_saved_variables();
    auto [dz, dw1, db1, dw2, db2] = call_backward(
        op, given(upstream[0]), given(upstream[1]), x[0], x[1], x[2], x[3], x[4], x[5], x[6], wanted(0),
        wanted(1) || wanted(2) || wanted(3) || wanted(4));
    const Tensor* found[] = {&dz, &dw1, &db1, &dw2, &db2};
    for (size_t k = 0; k < 5; ++k) {
      if (wanted(k)) {
        gradients[k] = *found[k];
      }
    }
    return gradients;
  }
};

Four navigate(In z, In w1, In b1, In w2, In b2, std::optional<double> delta, c10::SymInt kept) {
  if (!records({&z, &w1, &b1, &w2, &b2})) {
    return plain_navigate(z, w1, b1, w2, b2, delta, std::move(kept));
  }
  Four all;
  const variable_list outputs = Navigate::apply(z, w1, b1, w2, b2, delta, std::move(kept), &all);
  return {outputs[0], outputs[1], std::get<2>(all), std::get<3>(all)};
}

Five plain_constrain(In z, In z_pos, std::optional<double> delta, c10::string_view mode) {
  static const auto op = operator_named<Five(In, In, std::optional<double>, c10::string_view)>("copgen::constrain");
  const at::AutoDispatchBelowADInplaceOrView past_autograd;
  return op.call(z, z_pos, delta, mode);
}

struct Constrain : torch::autograd::Function<Constrain> {
  static variable_list forward(
      AutogradContext* context, In z, In z_pos, std::optional<double> delta, c10::string_view mode) {
    auto [held, d, violates, order, stats] = plain_constrain(z, z_pos, delta, mode);
    const bool projects = mode == "project";
    context->save_for_backward({z, z_pos, d});
    context->saved_data["delta"] = projects ? delta : std::nullopt;
    if (projects) {
      context->mark_non_differentiable({violates, order, stats});
    } else {
      context->mark_non_differentiable({held, violates, order, stats});
    }
    context->set_materialize_grads(false);
    return {held, d, violates, order, stats};
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    static const auto op = operator_named<Two(MaybeIn, MaybeIn, In, In, In, std::optional<double>)>(
        "copgen::constrain_backward");
    variable_list gradients(4);
    if (!upstream[0].defined() && !upstream[1].defined()) {
      return gradients;
    }
    const auto delta = context->saved_data["delta"].toOptional<double>();
    const auto x = context->get_saved_variables();
    std::tie(gradients[0], gradients[1]) =
        call_backward(op, given(upstream[0]), given(upstream[1]), x[0], x[1], x[2], delta);
    return gradients;
  }
};

Five constrain(In z, In z_pos, std::optional<double> delta, c10::string_view mode) {
  if (!records({&z, &z_pos})) {
    return plain_constrain(z, z_pos, delta, mode);
  }
  const variable_list outputs = Constrain::apply(z, z_pos, delta, mode);
  return {outputs[0], outputs[1], outputs[2], outputs[3], outputs[4]};
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, Autograd, m) {
  m.impl("navigate", &navigate);
  m.impl("constrain", &constrain);
}

}  // namespace copgen
