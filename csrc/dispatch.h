// Tensors inside an operator are numbers and nothing else: no autograd, and no autocast, whose say ends at the
// operator's door. Threads of a parallel region know nothing of the caller's modes, so each needs a guard of its own.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace copgen {

class PlainNumbers {
  at::AutoDispatchBelowADInplaceOrView no_autograd_;
  c10::impl::ExcludeDispatchKeyGuard no_autocast_{c10::autocast_dispatch_keyset};
};

}  // namespace copgen
