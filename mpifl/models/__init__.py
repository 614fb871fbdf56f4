"""The torch models that a job can name, one per file."""

REGISTRY = {
    "logreg": "mpifl.models.logreg:Logreg",
    "mlp": "mpifl.models.mlp:Mlp",
    "torchvision": "mpifl.models.torchvision:Torchvision",
    "timm": "mpifl.models.timm:Timm",
    "hf": "mpifl.models.hf:Hf",
    "sized": "mpifl.models.sized:Sized",
    "none": "mpifl.models.none:None_",
    "cnn1d": "mpifl.models.cnn1d:Cnn1d",
    "m5": "mpifl.models.m5:M5",
    "lstm": "mpifl.models.lstm:Lstm",
    "transformer": "mpifl.models.transformer:Transformer",
    "seq2seq": "mpifl.models.seq2seq:Seq2seq",
    "femnist_cnn": "mpifl.models.femnist_cnn:FemnistCnn",
    "cifar_cnn": "mpifl.models.cifar_cnn:CifarCnn",
    "resnet": "mpifl.models.resnet:Resnet",
    "shufflenet_v2": "mpifl.models.shufflenet_v2:ShufflenetV2",
    "mobilenet_v2": "mpifl.models.mobilenet_v2:MobilenetV2",
    "efficientnet_lite": "mpifl.models.efficientnet_lite:EfficientnetLite",
    "unet": "mpifl.models.unet:Unet",
    "fcos": "mpifl.models.fcos:Fcos",
    "deepspeech": "mpifl.models.deepspeech:Deepspeech",
    "autoencoder": "mpifl.models.autoencoder:Autoencoder",
    "darts": "mpifl.models.darts:Darts",
    "gan": "mpifl.models.gan:Gan",
    "dlrm": "mpifl.models.dlrm:Dlrm",
    "trees": "mpifl.models.trees:Trees",
    "party_mlp": "mpifl.models.party_mlp:PartyMlp",
    "matrix_factorisation": "mpifl.models.matrix_factorisation:MatrixFactorisation",
}

PREFIXES = {"torchvision": "network", "timm": "network", "hf": "config"}
"""``timm:vit_tiny_patch16_224`` stands for ``{name: timm, network: vit_tiny_patch16_224}``."""
