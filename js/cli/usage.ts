// What the command line says of itself.

export const USAGE = `tractlet: quantized ONNX models as plans for the web page

  tractlet compile MODEL.onnx [-o FILE.plan] [--shape SHAPES]... [--dim NAME=SIZE]...
      Compiles a model to a plan, which pages run with the engine alone. FILE.plan is the model's
      name with .plan when left out.

  tractlet inspect FILE [--shape SHAPES]... [--dim NAME=SIZE]... [--json]
      Lists what an .onnx file or a plan consists of: inputs, outputs, metadata, steps and their
      kernels, what the engine has no steps for, products, memory.

  tractlet run FILE --image PHOTO [--card CARD.json] [--top 5] [--json]
      Classifies a JPEG or PNG file. FILE is a model card, or an .onnx file or plan with --card.

Options
  --shape SHAPES   Input shapes to compile for: --shape input=1,3,224,224. Each --shape is one set;
                   several sets, 8 at most, share the weights in one plan. A set that names several
                   inputs separates them by semicolons: --shape "ids=1,128; mask=1,128". Inputs whose
                   shape follows from the model or from the others may be left out, and with one
                   input its name as well: --shape 1,3,224,224.
  --dim NAME=SIZE  Fixes a symbolic dimension: --dim batch=1. For the whole plan.
  --external FILE  A file of weights that the model refers to, should it not lie where the model says.
  -o, --output     Where the plan goes.
  --json           Prints JSON.
  --quiet          Prints results and errors only.
  -h, --help       This text.
  -v, --version    Version of the package.

Files of weights beside the model are found by themselves. Exit codes: 0 done, 1 failed, 2 wrong usage.
`;
