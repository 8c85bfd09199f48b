// A guard that turns off autograd and autocast inside an operator. Threads of a parallel region do not inherit the
// caller's modes, so each needs its own guard.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace copgen {

class PlainNumbers {
  at::AutoDispatchBelowADInplaceOrView no_autograd_;
  c10::impl::ExcludeDispatchKeyGuard no_autocast_{c10::autocast_dispatch_keyset};
};

}  // namespace copgen
