"""vLLM's offline engine in a process of its own: told what to do by lines of JSON on its input,
answering with seconds.

Usage: python -m benchmarks.engine_peer MODEL_FOLDER ENGINE_KWARGS_JSON
"""

import json
import sys
import time
from typing import Any


def main() -> None:
    """Serve until the input ends."""
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    engine = LLM(sys.argv[1], **json.loads(sys.argv[2]))
    tokenizer = engine.get_tokenizer()

    def work(order: dict[str, Any]) -> int:
        """Do it; returns how many tokens were made."""
        texts = [
            tokenizer.apply_chat_template(m, tokenize=False, add_generation_prompt=True)
            for m in order["messages"]
        ]
        if order["op"] == "judge":
            held = StructuredOutputsParams(choice=["A", "B", "C"])
            sampling = SamplingParams(
                temperature=0.0, max_tokens=1, logprobs=20, structured_outputs=held
            )
        else:
            sampling = SamplingParams(temperature=0.0, max_tokens=order["tokens"], ignore_eos=True)
        return sum(
            len(made.outputs[0].token_ids)
            for made in engine.generate(texts, sampling, use_tqdm=False)
        )

    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        engine.reset_prefix_cache()
        start = time.perf_counter()
        made = work(order)
        seconds = time.perf_counter() - start
        read = [
            len(
                tokenizer.apply_chat_template(m, add_generation_prompt=True, return_dict=True)[
                    "input_ids"
                ]
            )
            for m in order["messages"]
        ]
        print(json.dumps({"seconds": seconds, "made": made, "read": sum(read)}), flush=True)


if __name__ == "__main__":
    main()
