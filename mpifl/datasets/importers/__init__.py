"""Importers of existing data sets: one format a file, each a class whose fields are its options."""

REGISTRY = {
    "qmnist": "mpifl.datasets.importers.qmnist:Qmnist",
    "idx": "mpifl.datasets.importers.idx:Idx",
    "cifar": "mpifl.datasets.importers.cifar:Cifar",
    "images": "mpifl.datasets.importers.images:Images",
    "npz": "mpifl.datasets.importers.npz:Npz",
    "leaf": "mpifl.datasets.importers.leaf:Leaf",
    "tff": "mpifl.datasets.importers.tff:Tff",
    "fedscale": "mpifl.datasets.importers.fedscale:Fedscale",
    "csv": "mpifl.datasets.importers.csv:Csv",
    "svmlight": "mpifl.datasets.importers.svmlight:Svmlight",
    "text": "mpifl.datasets.importers.text:Text",
    "jsonl": "mpifl.datasets.importers.jsonl:Jsonl",
    "webdataset": "mpifl.datasets.importers.webdataset:Webdataset",
    "wav": "mpifl.datasets.importers.wav:Wav",
    "nifti": "mpifl.datasets.importers.nifti:Nifti",
    "dicom": "mpifl.datasets.importers.dicom:Dicom",
    "coco": "mpifl.datasets.importers.coco:Coco",
    "sizes": "mpifl.datasets.importers.sizes:Sizes",
    "parquet": "mpifl.datasets.importers.parquet:Parquet",
    "huggingface": "mpifl.datasets.importers.huggingface:Huggingface",
}
