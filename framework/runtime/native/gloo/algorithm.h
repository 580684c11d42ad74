// Declarations that ProcessGroupGloo.hpp needs of gloo, whose own headers do not come with libtorch. Nothing of gloo is
// made or called from here: objects of these types live behind pointers, inside libtorch.
#pragma once
#include <gloo/context.h>
