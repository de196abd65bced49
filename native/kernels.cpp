// Compiled once for every instruction set (HS_ISA) and number type (HS_REAL); see CMakeLists.txt.
#include "kernels.hpp"

#include "forward-inl.hpp"
#include "halves-inl.hpp"
#include "linear-inl.hpp"
#include "plan-inl.hpp"
#include "step-inl.hpp"

namespace hiddenstate::HS_ISA {

template <class T>
void apply(Function function, Index n, const T *x, T *y) {
    FlushDenormals flush;
    for (Index i = 0; i < n; i += lanes<T>) {
        const Index count = smaller(lanes<T>, n - i);
        const Vec<T> v = load_part(x + i, count);
        const Vec<T> out = function == Function::tanh      ? tanh<T>(v)
                           : function == Function::sigmoid ? sigmoid<T>(v)
                                                           : exp_bounded<T>(v);
        store_part(y + i, out, count);
    }
}

extern const Kernels<HS_REAL> HS_TABLE;
const Kernels<HS_REAL> HS_TABLE = {
    pack_plan<HS_REAL>, pack_linear<HS_REAL>, release_plan<HS_REAL>, forward<HS_REAL>,
    backward<HS_REAL>,  step<HS_REAL>,        linear<HS_REAL>,       apply<HS_REAL>,
};

}  // namespace hiddenstate::HS_ISA
