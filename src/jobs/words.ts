/** What generated job names are made of: lower-case ASCII, short, and kind. */
export const adjectives = (
  "able agile airy alert ample apt azure balmy basic bold bonny brave breezy brief bright brisk busy calm candid " +
  "careful cheery chief civil clean clear clever close cosmic cozy crisp curious dainty dapper daring deep deft " +
  "direct eager early earnest easy elder equal exact expert fair famous fancy fast fine firm fit fleet fluent fond " +
  "frank free fresh gentle giant glad golden good grand great green handy happy hardy hearty high honest humble " +
  "ideal jolly keen kind large light lively loyal lucid lucky merry mighty mild modest neat nimble noble novel open " +
  "patient plain polite prime proper proud quick quiet rapid rare ready regal rich robust rosy sharp silent sincere " +
  "smart smooth snug solid sound spry stable steady stout strong sturdy subtle sunny sure sweet swift tidy tough " +
  "true used useful valid vast vivid warm wise witty young zesty"
).split(" ");

export const surnames = (
  "abel agnesi ampere archimedes babbage banach bardeen bell bernoulli blackwell bohr boltzmann bolyai boole bose " +
  "brahe brown cantor carnot carson cauchy cerf chandra church codd copernicus coulomb cray curie dalton darwin " +
  "davinci davy dedekind dijkstra diophantus dirac doppler edison einstein engelbart erdos euclid euler faraday " +
  "fermat fermi feynman fibonacci fourier franklin galileo galois gauss germain gibbs godel goodall gould haber " +
  "hahn hamilton hamming hawking heisenberg hertz hilbert hodgkin hooke hopper hoover hubble huygens hypatia jackson " +
  "jacobi johnson joule kepler khayyam kilby knuth kolmogorov lagrange lamarr lamport laplace lavoisier leavitt " +
  "lehmer leibniz liskov lorentz lovelace mach maxwell mayer mccarthy meitner mendel mendeleev mirzakhani moore morse " +
  "nash neumann newton nightingale nobel noether noyce ohm pascal pasteur pauli peano perlman planck poincare ramanujan " +
  "ride riemann ritchie sanger rubin rutherford sagan salk shannon snyder stokes swartz tesla thompson torvalds tu " +
  "turing vaughan villani volta weyl wiles wing wozniak wright wu yalow yonath"
).split(" ");
