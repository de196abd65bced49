// Times the kernels of one layer, without Python: median, quarter and least of the calls that fit the seconds given.
//
//   time_layer infer|forward|backward|train|step rnn|gru|lstm T,B,I,H threads seconds [packs] [short|uniform]
//
// infer: forward without a tape. packs: the weights are packed anew in every call, as hs.nn does. short: 90 % of the
// rows have a tenth of the steps; uniform: lengths are evenly spread over 1 to T. The log of docs/performance.md was
// measured in this way; it is no test.
#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "layer_problem.hpp"

namespace hiddenstate::test {

double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Options {
    std::string kind;
    Size size;
    int threads;
    double budget;
    bool packs = false, shorter = false, uniform = false;
};

// What is timed, on arrays of its own.
class Timed {
 public:
    explicit Timed(const Options &options) : o_(options), p_(options.size, 1), plan_(p_.pack(true)) {
        const Size &s = o_.size;
        for (Index b = 0; b < s.batch; ++b)
            if (o_.uniform)
                lengths_.push_back(s.steps - (b * 37 % s.batch) * s.steps / s.batch);
            else if (o_.shorter)
                lengths_.push_back(b % 10 ? s.steps / 10 : s.steps);
        forward_ = forward_call(p_, plan_, kept_, o_.threads);
        if (!lengths_.empty()) forward_.lengths = lengths_.data();
        if (o_.kind == "infer") forward_.tape = nullptr;
        for (int i : {Problem<float>::x, Problem<float>::weight_ih, Problem<float>::weight_hh, Problem<float>::bias_ih,
                      Problem<float>::bias_hh})
            gradients_[i].resize(p_.parameters[i].size());
        kernels<float>().forward(forward_);
    }
    ~Timed() { kernels<float>().release(plan_); }

    void run() {
        const auto &k = kernels<float>();
        if (o_.packs) {
            k.release(plan_);
            forward_.plan = plan_ = p_.pack(o_.kind == "backward" || o_.kind == "train");
        }
        if (o_.kind == "step")
            return k.step(*plan_, o_.size.batch, forward_.x, forward_.h0, forward_.c0, forward_.h_n, forward_.c_n,
                          o_.threads);
        if (o_.kind != "backward") k.forward(forward_);
        if (o_.kind != "backward" && o_.kind != "train") return;
        Backward<float> call{};
        call.forward = forward_;
        call.dy = p_.dy.data();
        call.dx = gradients_[Problem<float>::x].data();
        call.dweight_ih = gradients_[Problem<float>::weight_ih].data();
        call.dweight_hh = gradients_[Problem<float>::weight_hh].data();
        call.dbias_ih = gradients_[Problem<float>::bias_ih].data();
        call.dbias_hh = gradients_[Problem<float>::bias_hh].data();
        k.backward(call);
    }

 private:
    const Options o_;
    const Problem<float> p_;
    Plan<float> *plan_;
    Result<float> kept_;
    Forward<float> forward_;
    std::vector<Index> lengths_;
    std::vector<float> gradients_[Problem<float>::count];
};

void time_calls(const Options &options) {
    Timed timed(options);
    const int inner = options.kind == "step" ? 1000 : 1;  // what is shorter than the clock
    std::vector<double> each;
    for (const double end = seconds() + options.budget; each.size() < 5 || seconds() < end;) {
        const double start = seconds();
        for (int i = 0; i < inner; ++i) timed.run();
        each.push_back((seconds() - start) / inner * 1e6);
    }
    std::sort(each.begin(), each.end());
    std::printf("%s: median %.1f us, quarter %.1f, least %.1f\n", isa().c_str(), each[each.size() / 2],
                each[each.size() / 4], each[0]);
}

// False: not what the head of this file describes.
bool read(int count, char **words, Options &o) {
    if (count < 6) return false;
    const std::string kind = words[1], cell = words[2];
    Size &s = o.size;
    s = {cell == "lstm" ? Cell::lstm : cell == "gru" ? Cell::gru : Cell::rnn_tanh, 0, 0, 0, 0, 0, false, false};
    long sizes[4];
    if (std::sscanf(words[3], "%ld,%ld,%ld,%ld", sizes, sizes + 1, sizes + 2, sizes + 3) != 4) return false;
    s.steps = sizes[0], s.batch = sizes[1], s.inputs = sizes[2], s.hidden = sizes[3];
    o.kind = kind;
    o.threads = std::atoi(words[4]);
    o.budget = std::atof(words[5]);
    for (int i = 6; i < count; ++i) {
        o.packs |= std::string(words[i]) == "packs";
        o.shorter |= std::string(words[i]) == "short";
        o.uniform |= std::string(words[i]) == "uniform";
    }
    const bool known = kind == "infer" || kind == "forward" || kind == "backward" || kind == "train" || kind == "step";
    return known && (cell == "rnn" || cell == "gru" || cell == "lstm") && *std::min_element(sizes, sizes + 4) > 0 &&
           o.threads > 0;
}

}  // namespace hiddenstate::test

int main(int count, char **words) {
    hiddenstate::test::Options options;
    if (!hiddenstate::test::read(count, words, options)) {
        std::puts(
            "time_layer infer|forward|backward|train|step rnn|gru|lstm T,B,I,H threads seconds [packs] "
            "[short|uniform]");
        return 2;
    }
    hiddenstate::set_num_threads(options.threads);
    hiddenstate::test::time_calls(options);
    return 0;
}
