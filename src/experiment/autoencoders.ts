import { adoptedWeight, adversarialFields, norms, vqAutoencoderDefaults } from '../losses/index.ts'
import { autoencoderConfig } from '../nn/autoencoder/config.ts'
import { discriminatorConfig } from '../nn/discriminator.ts'
import { lpipsDefaults, perceptualHeads } from '../nn/lpips.ts'
import { gumbelQuantizerFields, gumbelTemperature, vectorQuantizerFields } from '../nn/quantize.ts'
import { restartConfig } from '../optimizers/index.ts'
import {
  about,
  type Decoded,
  describedRecord,
  describedTagged,
  flag,
  integer,
  list,
  nonEmpty,
  number,
  withDefault,
  withOwnDefaults,
  word,
} from '../schema.ts'
import { labelMapFields } from './label-maps.ts'
import { termWeight } from './objective.ts'
import { count, learningRate, optimizer, training } from './training.ts'

/** The first stage of an experiment: what makes latents of pictures, and pictures of latents. */

const perceptual = about(
  "LPIPS (Zhang et al. 2018), the distance of a trained network's features, beside the error of the pixels.",
  withOwnDefaults(
    describedRecord(
      {},
      {
        weight: about(
          'Weight of LPIPS beside the error of the pixels, 0 for none; with it reconstructions are sharper, and files are needed. 1 in the reference.',
          withDefault(termWeight, 0),
        ),
        heads: about(
          'Whether channels are weighed as LPIPS has "learned" to, or all alike, "even": then VGG16 is all that is needed.',
          withDefault(word(perceptualHeads), lpipsDefaults.heads),
        ),
        files: about(
          "Where the weights are, torch or safetensors, named from the working folder: torchvision's vgg16-397923af.pth and taming-transformers' vgg.pth, or a checkpoint of the reference.",
          withDefault(list(nonEmpty, { max: 8 }), []),
          ['vgg16-397923af.pth', 'vgg.pth'],
        ),
      },
    ),
  ),
)
const pixel = about(
  'Error of the pixels: "l1", which leaves edges sharper, or "l2", which PSNR measures.',
  withDefault(word(norms), vqAutoencoderDefaults.norm),
)

export const adversarial = describedRecord(
  {
    factor: about('How much the contest counts, and from when on [disc_start, disc_factor].', adoptedWeight),
  },
  {
    ...adversarialFields,
    discriminator: about('The network that judges patches of pictures.', withOwnDefaults(discriminatorConfig)),
    order: about(
      'Whether both sides answer to one forward pass, "simultaneous", or the discriminator to a second one, of the autoencoder just updated, "alternating", as in the reference, at about 1.4 times the work.',
      withDefault(word(['simultaneous', 'alternating']), 'simultaneous'),
    ),
  },
  {
    condition: about(
      'What the discriminator sees beside the pictures, as further channels; nothing where left out.',
      describedTagged('kind', {
        class: about('The class of each picture: one channel a class, 1 everywhere in its own.', describedRecord({})),
        'label-map': about('The label of each pixel: one channel a label.', labelMapFields),
      }),
    ),
    optimizer: about("The discriminator's optimiser; the autoencoder's where left out.", optimizer, { kind: 'adam' }),
    learningRate: about("The discriminator's learning rate; the autoencoder's where left out.", learningRate, {
      kind: 'constant',
      rate: 1e-4,
    }),
  },
)
export type Adversarial = Decoded<typeof adversarial>
const judged = about(
  'A discriminator that judges reconstructions, trained beside the autoencoder: sharper pictures, at a lower PSNR (Esser et al. 2021); none where left out.',
  adversarial,
  { factor: { start: 1000, unit: 'steps' } },
)

const mostEntries = 2 ** 20
const entries = about(
  'Codes of the codebook; more of them keep more of the picture, and more of them may never be used.',
  integer({ min: 2, max: mostEntries }),
  1024,
)
const code = integer({ min: 0, max: mostEntries - 1 })
const usedCodes = list(code, { min: 1, max: mostEntries })
const temperature = number({ min: 1e-3, max: 1e3 })
const quantizer = describedTagged('kind', {
  nearest: about(
    'A latent becomes the nearest vector of a codebook (van den Oord et al. 2017).',
    describedRecord({ entries }, vectorQuantizerFields, {
      restart: about(
        'Codes that are hardly chosen move to where latents are (Dhariwal et al. 2020), so that more of the codebook is used; none do where left out.',
        restartConfig,
        { every: 100, below: 1 },
      ),
      remap: about(
        'Codes are numbered anew, by their place among some that are used [remap of VectorQuantizer2].',
        describedRecord(
          { used: about('The codes that are used, in the order of their new numbers.', usedCodes, [3, 17, 42]) },
          {
            unknown: about(
              'What the number of any other code is.',
              withDefault(
                describedTagged('kind', {
                  random: about('One of the used, by chance.', describedRecord({})),
                  extra: about('One further number, the same for all of them.', describedRecord({})),
                  index: about(
                    'A number that is given.',
                    describedRecord({ index: about('The number, a place among the used.', code, 0) }),
                  ),
                }),
                { kind: 'random' },
              ),
            ),
          },
        ),
      ),
    }),
  ),
  gumbel: about(
    "A latent becomes a mixture of a codebook's vectors, ever harder as the temperature falls (Jang et al. 2017).",
    describedRecord(
      { entries },
      {
        ...gumbelQuantizerFields,
        temperature: about(
          'What logits are divided by; it falls from start to end by a cosine over steps.',
          withOwnDefaults(
            describedRecord(
              {},
              {
                start: about(
                  'The temperature at the first step: soft mixtures.',
                  withDefault(temperature, gumbelTemperature),
                ),
                end: about('The temperature at the end: nearly one code.', withDefault(temperature, 0.0625)),
                steps: about('Steps until the temperature is at its end.', withDefault(count, 10000)),
              },
            ),
          ),
        ),
      },
      {
        used: about(
          'Only these codes may be chosen; they are numbered by their place here. All where left out.',
          usedCodes,
          [3, 17, 42],
        ),
      },
    ),
  ),
})
export type Quantizer = Decoded<typeof quantizer>

const network = about('The autoencoder: convolutions down to the latents, and up to pictures again.', autoencoderConfig)
const trained = about('How the autoencoder is trained.', training)

export const autoencoders = {
  kl: about(
    'The autoencoder with a diagonal Gaussian posterior (Kingma and Welling 2014; AutoencoderKL): the usual choice.',
    describedRecord(
      {
        network,
        loss: about(
          'What reconstructions and latents are judged by.',
          describedRecord(
            {},
            {
              pixel,
              klWeight: about(
                'Weight of the divergence of posteriors from a standard Gaussian; more of it makes latents smoother, and reconstructions blurrier. 1e-6 in the published models.',
                withDefault(termWeight, 1e-6),
              ),
              perceptual,
              logvar: about(
                "Log-variance of the decoder's output, which weighs the reconstruction against all else: a number, or learnt.",
                withOwnDefaults(
                  describedRecord(
                    {},
                    {
                      initial: about(
                        'The number, or what learning begins at; lower makes the reconstruction count more.',
                        withDefault(number({ min: -30, max: 20 }), 0),
                      ),
                      learned: about(
                        'Whether it is learnt beside the weights, as the reference offers it.',
                        withDefault(flag, false),
                      ),
                    },
                  ),
                ),
              ),
            },
            {
              weights: about(
                'How much each pixel counts in the reconstruction (not in what weighs the contest); 1 where left out.',
                describedTagged('kind', {
                  transparency: about(
                    'Pixels count by how opaque they are.',
                    describedRecord(
                      {},
                      {
                        transparent: about(
                          'How much a wholly transparent pixel counts, where an opaque one counts 1.',
                          withDefault(termWeight, 0),
                        ),
                      },
                    ),
                  ),
                  labels: about(
                    'Pixels of label maps count by their label.',
                    describedRecord({
                      weights: about(
                        'A weight for each label, in order.',
                        list(termWeight, { min: 2, max: 256 }),
                        [1, 4],
                      ),
                    }),
                  ),
                }),
              ),
            },
          ),
        ),
        training: trained,
      },
      {},
      { adversarial: judged },
    ),
  ),
  vq: about(
    'The autoencoder with quantised latents (van den Oord et al. 2017, Esser et al. 2021; VQModel).',
    describedRecord(
      {
        network,
        quantizer: about('How latents become codes.', quantizer),
        loss: about(
          'What reconstructions and codes are judged by.',
          describedRecord(
            {},
            {
              pixel,
              codebookWeight: about(
                "Weight of the quantiser's own loss beside the reconstruction.",
                withDefault(termWeight, vqAutoencoderDefaults.codebookWeight),
              ),
              perceptual,
            },
          ),
        ),
        training: trained,
      },
      {},
      { adversarial: judged },
    ),
  ),
}
/** A first stage that is trained. */
export const firstStage = describedTagged('kind', autoencoders)
export type FirstStage = Decoded<typeof firstStage>
